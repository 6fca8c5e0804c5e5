process PCT_EXTRACT {
    tag "${meta.id} ${shard}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "pct-extract:0.1.0"

    input:
    tuple val(meta), path(manifest), path(source), val(shard)

    output:
    tuple val(meta), path("${prefix}.bundle"), emit: bundle
    tuple val("${task.process}"), val('pct-extract'), eval("pct-extract --version | sed 's/.* //'"), topic: versions, emit: versions_pct_extract

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pct-extract \\
        ${manifest} \\
        --source ${source} \\
        --shard ${shard} \\
        --threads ${task.cpus} \\
        ${args} \\
        --output ${prefix}.bundle
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir ${prefix}.bundle
    """
}
