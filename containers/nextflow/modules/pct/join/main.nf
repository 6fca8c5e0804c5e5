process PCT_JOIN {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"
    container "pct-join:0.1.0"

    input:
    tuple val(meta), path(bundle), path(platemap)
    path sql

    output:
    tuple val(meta), path("${prefix}.profiles"), emit: profiles
    tuple val("${task.process}"), val('pct-join'), eval("pct-join --version | sed 's/.* //'"), topic: versions, emit: versions_pct_join

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    def with_platemap = platemap ? "--platemap ${platemap}" : ''
    def by_sql = sql ? "--sql ${sql}" : ''
    // Half is DuckDB's; the tables that are joined need the rest.
    def memory = task.memory ? "--memory ${task.memory.toMega().intdiv(2)}MiB" : ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    pct-join \\
        ${bundle} \\
        --threads ${task.cpus} \\
        ${memory} \\
        ${with_platemap} \\
        ${by_sql} \\
        ${args} \\
        --output ${prefix}.profiles
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir ${prefix}.profiles
    """
}
