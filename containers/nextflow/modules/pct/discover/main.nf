process PCT_DISCOVER {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "pct-discover:0.1.0"

    input:
    tuple val(meta), path(source)

    output:
    tuple val(meta), path("${prefix}.manifest.arrow"), emit: manifest
    path "versions.yml", emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pct-discover \\
        ${source} \\
        ${args} \\
        --output ${prefix}.manifest.arrow

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pct-discover: \$(pct-discover --version | sed 's/.* //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${prefix}.manifest.arrow

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pct-discover: \$(pct-discover --version | sed 's/.* //')
    END_VERSIONS
    """
}
