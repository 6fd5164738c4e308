// Package wire converts between [ipmb.Message] and the envelope in which it
// travels on the backplane's streams.
package wire
