process PCT_DISCOVER {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "pct-discover:0.1.0"

    input:
    tuple val(meta), path(source)
    path preset

    output:
    tuple val(meta), path("${prefix}.manifest.arrow"), emit: manifest
    tuple val("${task.process}"), val('pct-discover'), eval("pct-discover --version | sed 's/.* //'"), topic: versions, emit: versions_pct_discover

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def by_preset = preset ? "--preset ${preset}" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pct-discover \\
        ${source} \\
        ${by_preset} \\
        ${args} \\
        --output ${prefix}.manifest.arrow
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${prefix}.manifest.arrow
    """
}
