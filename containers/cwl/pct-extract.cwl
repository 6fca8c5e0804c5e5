cwlVersion: v1.2
class: CommandLineTool
label: Read the measurement files that a manifest names, or a share of them, into a bundle
baseCommand: pct-extract

hints:
  DockerRequirement:
    dockerImageId: pct-extract:latest
  ResourceRequirement:
    coresMin: $(inputs.threads)
    ramMin: 2048

inputs:
  manifest:
    type: File
    inputBinding: {position: 1}
  source:
    type: [Directory, File]
    doc: The source that the manifest was made of. Engines stage it at another place in every step.
    inputBinding: {prefix: --source}
  shard:
    type: int
    default: 1
    doc: The share of the parts to read, from 1.
  shards:
    type: int
    default: 1
    doc: How many shares there are.
  threads:
    type: int
    default: 2
  more:
    type: string[]?
    doc: Further words, as on the command line.
    inputBinding: {position: 2}

arguments:
  - {prefix: --shard, valueFrom: $(inputs.shard)/$(inputs.shards)}
  - {prefix: --threads, valueFrom: $(runtime.cores)}
  - {prefix: --output, valueFrom: bundle}

outputs:
  bundle:
    type: Directory
    outputBinding: {glob: bundle}
