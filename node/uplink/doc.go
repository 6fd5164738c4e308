// Package uplink ties a node to the backplane: a warm stream to every replica,
// of which the first two stand for IPMB-A and IPMB-B, and the durable outbox
// of the node's events. It sends at once or not at all; whoever made a request
// sends it again.
package uplink
