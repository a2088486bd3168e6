// Package connections bounds the connections of a client address before a request is authenticated, and of a caller after it.
//
//	listener.go  the bounds: by client address until a request is authenticated, by caller from then on
//	proxies.go   the client address of a request: its peer, or what a trusted proxy says
//
// What lives here: net.Conn and addresses. What must not be here: authentication, and requests beyond their address.
package connections
