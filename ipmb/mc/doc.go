// Package mc holds the parts that every management controller has, each with
// its rows of the command table: identity, channels, event receiver, sensors,
// SEL device, SDR repository, FRU inventory devices. A node's BMC and the shelf
// manager at 0x20 are both put together from them, over storage behind small
// interfaces.
package mc
