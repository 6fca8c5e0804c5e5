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
    tuple val("${task.process}"), val('pct-write'), eval("pct-write --version | sed 's/.* //'"), topic: versions, emit: versions_pct_write

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
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${prefix}.parquet
    """
}
