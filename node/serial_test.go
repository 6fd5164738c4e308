package node

import (
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/node/vm/vmtest"
)

// makeUser gives a guest's BMC a user who may log in by channel 2.
func makeUser(t *testing.T, g *vmtest.Guest, id byte, name, password string, limit byte) {
	t.Helper()
	pad := func(s string) []byte { return append([]byte(s), make([]byte, 16-len(s))...) }
	for _, data := range [][]byte{
		append([]byte{0x45, id}, pad(name)...),
		append([]byte{0x47, id, 2}, pad(password)...),
		{0x47, id, 1},
		{0x43, 0x90 | firstSerialChannel, id, limit},
	} {
		code, _, err := g.Do(t.Context(), ipmb.NetFnApp, 0, ipmb.Cmd(data[0]), data[1:])
		if code != ipmb.OK || err != nil {
			t.Fatalf("% x: %v, %v", data, code, err)
		}
	}
}
