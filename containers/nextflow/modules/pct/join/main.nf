process PCT_JOIN {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "pct-join:0.1.0"

    input:
    tuple val(meta), path(bundle)

    output:
    tuple val(meta), path("${prefix}.profiles"), emit: profiles
    path "versions.yml", emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    // Half is DuckDB's; the tables that are joined need the rest.
    def memory = task.memory ? "--memory ${task.memory.toMega().intdiv(2)}MiB" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pct-join \\
        ${bundle} \\
        --threads ${task.cpus} \\
        ${memory} \\
        ${args} \\
        --output ${prefix}.profiles

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pct-join: \$(pct-join --version | sed 's/.* //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir ${prefix}.profiles

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        pct-join: \$(pct-join --version | sed 's/.* //')
    END_VERSIONS
    """
}
