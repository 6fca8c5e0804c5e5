cwlVersion: v1.2
class: Workflow
label: Convert measurement files to Parquet, with the parts shared over several steps

requirements:
  ScatterFeatureRequirement: {}
  StepInputExpressionRequirement: {}

inputs:
  source: [Directory, File]
  output: {type: string, default: profiles.parquet}
  report_name: {type: string, default: report.html}
  shards:
    type: int[]
    default: [1]
    doc: The numbers of the shares, from 1 to their number; pct-write refuses to go on where one is missing.
  part_size: string?
  preset: [string?, File?]
  platemap: File?
  sql: File?
  threads: {type: int, default: 2}
  memory: string?
  discover_options: string[]?
  extract_options: string[]?
  join_options: string[]?
  write_options: string[]?
  report_options: string[]?

steps:
  discover:
    run: pct-discover.cwl
    in:
      source: source
      part_size: part_size
      preset: preset
      more: discover_options
    out: [manifest]
  extract:
    run: pct-extract.cwl
    scatter: shard
    in:
      manifest: discover/manifest
      source: source
      shard: shards
      shards: {source: shards, valueFrom: $(self.length)}
      threads: threads
      more: extract_options
    out: [bundle]
  join:
    run: pct-join.cwl
    scatter: bundle
    in:
      bundle: extract/bundle
      threads: threads
      memory: memory
      platemap: platemap
      sql: sql
      more: join_options
    out: [profiles]
  write:
    run: pct-write.cwl
    in:
      profiles: join/profiles
      output: output
      more: write_options
    out: [parquet]
  make_report:
    run: pct-report.cwl
    in:
      parquet: write/parquet
      output: report_name
      more: report_options
    out: [report]

outputs:
  parquet:
    type: [File, Directory]
    outputSource: write/parquet
  report:
    type: File
    outputSource: make_report/report
