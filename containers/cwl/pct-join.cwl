cwlVersion: v1.2
class: CommandLineTool
label: Join the compartments of a bundle into profiles, one row per single cell
baseCommand: pct-join

hints:
  DockerRequirement:
    dockerImageId: pct-join:latest
  ResourceRequirement:
    coresMin: $(inputs.threads)
    ramMin: 2048

inputs:
  bundle:
    type: Directory
    inputBinding: {position: 1}
  unmatched:
    type:
      - "null"
      - {type: enum, symbols: [drop, keep]}
    inputBinding: {prefix: --unmatched}
  platemap:
    type: File?
    inputBinding: {prefix: --platemap}
  sql:
    type: File?
    inputBinding: {prefix: --sql}
  threads:
    type: int
    default: 2
  memory:
    type: string?
    doc: Memory the join may use, such as 2GB; half of what the step may use where it is not given.
    inputBinding: {prefix: --memory}
  more:
    type: string[]?
    doc: Further words, as on the command line.
    inputBinding: {position: 2}

arguments:
  - {prefix: --threads, valueFrom: $(runtime.cores)}
  - {prefix: --output, valueFrom: profiles}

outputs:
  profiles:
    type: Directory
    outputBinding: {glob: profiles}
