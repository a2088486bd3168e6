// Package connections bounds the connections of a client address before a request is authenticated, and of a caller after it.
//
//	listener.go  the bounds: by client address until a request is authenticated, by caller from then on
//	proxies.go   the client address of a request: its peer, or what a trusted proxy says
//
// It works on net.Conn and addresses. Authentication, and anything of a request but its address, do not belong here.
package connections
