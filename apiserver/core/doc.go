// Package core is the API server's view of the cluster, for all its frontends: Functions, FunctionRuns, FunctionImages, the pods of Jobs,
// nodes and namespaces from informers; the inputs of runs and the code of functions from live reads.
//
// It contains the informers with their transforms, look-ups in their caches, the identity of objects for REST, bounded live reads where a
// cache may be stale, the caches of inputs and of code, and the objects that this server has written before its informers see them
// (remember.go), which package writes adds. It must not contain HTTP, SQL, writes, or types of the exchange or of a frontend.
//
// Objects from the caches are shared and must not be modified. An object that cannot be decoded has only its metadata (see Decodable); the
// lists of a Cache omit it.
package core
