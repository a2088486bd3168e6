// Package connections bounds what a client takes before the server knows who it is, and whose the connections are.
//
//	listener.go  connections by client address until a request is authenticated, and by caller from then on
//	proxies.go   which client a request comes from: its address, or what a trusted proxy says
//
// What lives here: net.Conn and addresses. What must not be here: who may do what, and requests beyond their address.
package connections
