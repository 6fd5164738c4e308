// Package link runs one end of a backplane stream: a single writer that
// gathers frames into batches, heartbeats, and a watch that ends the stream
// when its other end has gone quiet.
package link
