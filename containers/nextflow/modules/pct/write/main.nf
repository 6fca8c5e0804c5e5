process PCT_WRITE {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "pct-write:0.1.0"

    input:
    // Shares of one source are folders of the same name.
    tuple val(meta), path(profiles, stageAs: "?/*")

    output:
    tuple val(meta), path("${prefix}.parquet"), emit: parquet
    path "versions.yml", emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pct-write \\
        ${profiles} \\
        ${args} \\
        --output ${prefix}.parquet

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pct-write: \$(pct-write --version | sed 's/.* //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${prefix}.parquet

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pct-write: \$(pct-write --version | sed 's/.* //')
    END_VERSIONS
    """
}
