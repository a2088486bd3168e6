// Package core is what the API server knows of the cluster, for all its faces: FunctionRuns and the pods of their Jobs
// from informers, the inputs of runs from live reads.
//
// What lives here: the informers with their transforms, the look-ups in them, the bounded live reads where a cache may
// lag behind, and the cache of inputs. What must not: HTTP, SQL, types of the exchange or of any other face, and writes.
//
// Objects that come out of the caches are shared and must not be changed. One whose content cannot be decoded is there with its
// metadata alone (Decodable); lists of a Table leave it out.
package core
