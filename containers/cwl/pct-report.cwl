cwlVersion: v1.2
class: CommandLineTool
label: Report on the wells, sites, objects and features of Parquet files
baseCommand: pct-report

hints:
  DockerRequirement:
    dockerImageId: pct-flow:latest
  ResourceRequirement:
    coresMin: 1
    ramMin: 2048

inputs:
  parquet:
    type: [File, Directory]
    doc: Parquet from pct-write or pct-flow, a file or a folder.
    inputBinding: {position: 1}
  output:
    type: string
    default: report.html
    doc: NAME.html for a page, NAME.json, or NAME.parquet for a table of the wells.
    inputBinding: {prefix: --output}
  more:
    type: string[]?
    doc: Further words, as on the command line.
    inputBinding: {position: 2}

arguments:
  - {prefix: --threads, valueFrom: $(runtime.cores)}

outputs:
  report:
    type: File
    outputBinding: {glob: $(inputs.output)}
