#!/usr/bin/env nextflow
// Convert measurement files to Parquet: discover, then extract and join the parts in shares, then write.

include { PCT_DISCOVER } from './modules/pct/discover/main'
include { PCT_EXTRACT } from './modules/pct/extract/main'
include { PCT_JOIN } from './modules/pct/join/main'
include { PCT_WRITE } from './modules/pct/write/main'

workflow {
    if (!params.source) {
        error "name a source: --source PLACE, a folder of measurement files or an SQLite file"
    }
    // Several sources may be named with a pattern; each gives a Parquet file of its own name.
    source = channel.fromPath(params.source, type: 'any', checkIfExists: true)
        .map { place -> tuple([id: place.isDirectory() ? place.name : place.baseName], place) }
    shards = channel.fromList((1..params.shards).collect { shard -> "${shard}/${params.shards}" })

    PCT_DISCOVER(source)
    // Two sources of one name would be mixed up.
    found = PCT_DISCOVER.out.manifest.join(source, failOnDuplicate: true, failOnMismatch: true)
    PCT_EXTRACT(found.combine(shards))
    PCT_JOIN(PCT_EXTRACT.out.bundle)
    PCT_WRITE(PCT_JOIN.out.profiles.groupTuple(size: params.shards))

    PCT_DISCOVER.out.versions.first()
        .mix(PCT_EXTRACT.out.versions.first(), PCT_JOIN.out.versions.first(), PCT_WRITE.out.versions.first())
        .collectFile(name: 'versions.yml', storeDir: params.outdir)
}
