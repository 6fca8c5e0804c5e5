cwlVersion: v1.2
class: CommandLineTool
label: Write profiles, in one folder or in all shares of a source, as Parquet
baseCommand: pct-write

hints:
  DockerRequirement:
    dockerImageId: pct-write:latest
  ResourceRequirement:
    coresMin: 1
    ramMin: 2048

inputs:
  profiles:
    type: Directory[]
    inputBinding: {position: 1}
  output:
    type: string
    default: profiles.parquet
    doc: NAME.parquet for one file; any other name for a folder of one file per part.
    inputBinding: {prefix: --output}
  more:
    type: string[]?
    doc: Further words, as on the command line.
    inputBinding: {position: 2}

outputs:
  parquet:
    type: [File, Directory]
    outputBinding: {glob: $(inputs.output)}
