"""What `mbmf bench` and the files in benchmarks/ share: cases, baselines, checks, timing, charts."""
