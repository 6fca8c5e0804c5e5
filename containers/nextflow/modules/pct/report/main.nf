process PCT_REPORT {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "pct-flow:0.1.0"

    input:
    tuple val(meta), path(parquet)

    output:
    tuple val(meta), path("${prefix}.html"), emit: html
    tuple val(meta), path("${prefix}*_mqc.json"), emit: mqc
    tuple val("${task.process}"), val('pct-report'), eval("pct-report --version | sed 's/.* //'"), topic: versions, emit: versions_pct_report

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pct-report \\
        ${parquet} \\
        --threads ${task.cpus} \\
        --output ${prefix}_mqc.json

    pct-report \\
        ${parquet} \\
        --threads ${task.cpus} \\
        ${args} \\
        --output ${prefix}.html
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${prefix}.html ${prefix}_mqc.json
    """
}
