// Package core is what the API server knows of the cluster, for all its frontends: Functions, FunctionRuns, FunctionImages, the pods of Jobs,
// nodes and namespaces from informers; the inputs of runs and the code of functions from live reads.
//
// What lives here: the informers with their transforms, look-ups in what they hold, the identity of objects for REST, bounded live reads
// where a cache may be stale, the caches of inputs and of code, and the memory of what this server has written (remember.go), which
// package writes fills. What must not be here: HTTP, SQL, types of the exchange or of a frontend, and writes.
//
// Objects from the caches are shared and must not be changed. An object that cannot be decoded has its metadata only (see
// Decodable); the lists of a Cache omit it.
package core
