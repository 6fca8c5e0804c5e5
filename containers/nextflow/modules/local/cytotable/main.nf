// In the place of modules/local/cytotable/main.nf of nf-core/cellpainting: the same name, inputs and outputs.
process CYTOTABLE {
    tag "${meta.batch}_${meta.plate}"
    label 'process_medium'

    container "pct-flow:0.1.0"

    input:
    // Numbered, since the folders of different sites may have the same name.
    tuple val(meta), path(cellprofiler_output_dirs, stageAs: "analyses/?")

    output:
    tuple val(meta), path("*.parquet")

    script:
    def args = task.ext.args ?: ''
    def args2 = task.ext.args2 ?: ''
    def args3 = task.ext.args3 ?: ''
    def args4 = task.ext.args4 ?: ''
    """
    pct-discover analyses ${args} |
        pct-extract --threads ${task.cpus} ${args2} |
        pct-join --threads ${task.cpus} ${args3} |
        pct-write ${args4} --output ${meta.batch}_${meta.plate}.parquet
    """

    stub:
    """
    touch ${meta.batch}_${meta.plate}.parquet
    """
}
