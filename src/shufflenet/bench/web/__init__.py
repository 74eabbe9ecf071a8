"""`shufflenet bench --browser`: the exported web engine and other web runtimes side by side in a real Chromium."""
