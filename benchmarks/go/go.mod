module netpoll/benchmarks

go 1.27
