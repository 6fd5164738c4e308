// Package authz decides which roles may call which gRPC methods. What no rule
// names is refused.
package authz
