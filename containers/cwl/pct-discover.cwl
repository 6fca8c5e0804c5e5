cwlVersion: v1.2
class: CommandLineTool
label: Look at a folder or file of measurements and write a manifest of it
baseCommand: pct-discover

hints:
  DockerRequirement:
    dockerImageId: pct-discover:latest
  ResourceRequirement:
    coresMin: 1
    ramMin: 1024

inputs:
  source:
    type: [Directory, File]
    doc: A folder of measurement files, or an SQLite file. Only looked at; its links are followed.
    inputBinding: {position: 1}
  part_size:
    type: string?
    doc: Bytes of source per part, such as 64MB.
    inputBinding: {prefix: --part-size}
  preset:
    type: [string?, File?]
    doc: Kind of source, by name or as a TOML file; recognised where it is not given.
    inputBinding: {prefix: --preset}
  compartments:
    type: string[]?
    inputBinding: {prefix: --compartments, itemSeparator: ","}
  path_metadata:
    type: string?
    inputBinding: {prefix: --path-metadata}
  more:
    type: string[]?
    doc: Further words, as on the command line.
    inputBinding: {position: 2}

arguments: [--output, manifest.arrow]

outputs:
  manifest:
    type: File
    outputBinding: {glob: manifest.arrow}
