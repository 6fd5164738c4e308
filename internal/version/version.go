// Package version says which Midplane this is.
package version

import "runtime/debug"

// String is the version, set by the build (-ldflags -X). A plain go build
// leaves it to the module's own record.
var String = ""

// Get gives the version in one word.
func Get() string {
	if String != "" {
		return String
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
