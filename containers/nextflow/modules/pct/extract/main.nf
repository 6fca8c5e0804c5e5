process PCT_EXTRACT {
    tag "${meta.id} ${shard}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "pct-extract:0.1.0"

    input:
    tuple val(meta), path(manifest), path(source), val(shard)

    output:
    tuple val(meta), path("${prefix}.bundle"), emit: bundle
    path "versions.yml", emit: versions

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

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pct-extract: \$(pct-extract --version | sed 's/.* //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir ${prefix}.bundle

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pct-extract: \$(pct-extract --version | sed 's/.* //')
    END_VERSIONS
    """
}
