#!/usr/bin/env nextflow
// Convert plates to Parquet: discover, then extract and join the parts in shares, then write and report.

include { PCT_DISCOVER } from './modules/pct/discover/main'
include { PCT_EXTRACT } from './modules/pct/extract/main'
include { PCT_JOIN } from './modules/pct/join/main'
include { PCT_WRITE } from './modules/pct/write/main'
include { PCT_REPORT } from './modules/pct/report/main'

// Nextflow stages nothing where a process gets an empty list for a path.
def optional(place) {
    return place ? file(place, checkIfExists: true) : []
}

workflow {
    if (!params.input == !params.source) {
        error "name either a samplesheet, --input SHEET.csv, or a source, --source PLACE: a folder of measurement files or an SQLite file"
    }
    if (params.input) {
        plates = channel.fromPath(params.input, checkIfExists: true)
            .splitCsv(header: true, strip: true)
            .map { row ->
                if (!row.plate || !row.source) {
                    error "${params.input}: every row needs a plate and a source, not ${row}"
                }
                tuple([id: row.plate], file(row.source, checkIfExists: true), optional(row.platemap ?: params.platemap))
            }
    } else {
        // Several sources may be named with a pattern; each gives a Parquet file of its own name.
        plates = channel.fromPath(params.source, type: 'any', checkIfExists: true)
            .map { place ->
                tuple([id: place.isDirectory() ? place.name : place.baseName], place, optional(params.platemap))
            }
    }
    shards = channel.fromList((1..params.shards).collect { shard -> "${shard}/${params.shards}" })

    sources = plates.map { meta, source, _platemap -> tuple(meta, source) }
    PCT_DISCOVER(sources, optional(params.preset))
    // Two plates of one name would be mixed up.
    manifests = PCT_DISCOVER.out.manifest.join(sources, failOnDuplicate: true, failOnMismatch: true)
    PCT_EXTRACT(manifests.combine(shards))
    // In a map, since `combine` would take an empty list apart.
    platemaps = plates.map { meta, _source, platemap -> tuple(meta, [platemap: platemap]) }
    bundles = PCT_EXTRACT.out.bundle.combine(platemaps, by: 0).map { meta, bundle, more -> tuple(meta, bundle, more.platemap) }
    PCT_JOIN(bundles, optional(params.sql))
    PCT_WRITE(PCT_JOIN.out.profiles.groupTuple(size: params.shards))
    PCT_REPORT(PCT_WRITE.out.parquet)

    channel.topic('versions')
        .unique()
        .map { process, tool, version -> "\"${process}\":\n    ${tool}: ${version}" }
        .collectFile(name: 'versions.yml', storeDir: params.outdir, newLine: true, sort: true)
}
