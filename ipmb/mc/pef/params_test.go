package pef

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/midplane-project/midplane/ipmb"
	"github.com/midplane-project/midplane/ipmb/mc"
)

// exchange is a request and its answer, completion code first.
type exchange struct{ name, ask, want string }

func (b *bench) exchange(rows []exchange) {
	b.t.Helper()
	for _, x := range rows {
		want := fmt.Sprintf("% x", unhex(b.t, x.want))
		if got := b.ask(x.ask); got != want {
			b.t.Errorf("%s: %s\n got %s\nwant %s", x.name, x.ask, got, want)
		}
	}
}

const (
	anyFields = "00 00 00 00 FF FF FF FF FF FF FF 00 FF 00 00 FF 00 00 FF 00"
	tempField = "40 01 01 10 FF FF 01 FF 01 14 0A 00 FF 00 00 FF 00 00 FF 00"
)

func TestParams(t *testing.T) {
	b := newBench(t)
	defer b.stop()
	b.exchange([]exchange{
		{"capabilities", "04 10", "00 51 2F 18"},
		{"capabilities with data", "04 10 00", "C7"},

		{"not in progress", "04 13 00 00 00", "00 11 00"},
		{"in progress", "04 12 00 01", "00"},
		{"in progress again", "04 12 00 01", "81"},
		{"is in progress", "04 13 00 00 00", "00 11 01"},
		{"commit", "04 12 00 02", "00"},
		{"is in progress still", "04 13 00 00 00", "00 11 01"},
		{"complete", "04 12 00 00", "00"},
		{"complete again", "04 12 00 00", "00"},
		{"reserved", "04 12 00 03", "CC"},
		{"too long", "04 12 00 00 00", "C7"},
		{"nothing to set", "04 12 00", "C7"},

		{"control", "04 13 01 00 00", "00 11 00"},
		{"control reserved", "04 12 01 10", "CC"},
		{"actions", "04 13 02 00 00", "00 11 2F"},
		{"OEM action", "04 12 02 10", "CC"},
		{"alerts only", "04 12 02 01", "00"},
		{"read back", "04 13 02 00 00", "00 11 01"},
		{"startup delay", "04 13 03 00 00", "00 11 3C"},
		{"set it", "04 12 03 05", "00"},
		{"alert startup delay", "04 13 04 00 00", "00 11 3C"},
		{"set it", "04 12 04 06", "00"},
		{"read back", "04 13 03 00 00", "00 11 05"},
		{"read back", "04 13 04 00 00", "00 11 06"},

		{"filters", "04 13 05 00 00", "00 11 18"},
		{"are not set", "04 12 05 20", "82"},
		{"nor with another length", "04 12 05 20 20", "82"},
		{"revision only", "04 13 86 00 00", "00 11"},
		{"revision of what is not", "04 13 8E 00 00", "80"},
		{"no such parameter", "04 13 0E 00 00", "80"},
		{"no such parameter to set", "04 12 60 00", "80"},
		{"reserved bit of the selector", "04 12 86 00", "CC"},
		{"short get", "04 13 06 01", "C7"},

		{"the manufacturer's", "04 13 06 01 00", "00 11 01" + tempField},
		{"one for software", "04 13 06 09 00", "00 11 09" + anyFields},
		{"the last", "04 13 06 18 00", "00 11 18" + anyFields},
		{"filter 0", "04 13 06 00 00", "C9"},
		{"filter 25", "04 13 06 19 00", "C9"},
		{"set filter 25", "04 12 06 19" + anyFields, "C9"},
		{"set it", "04 12 06 09 80 02 00 10 20 00 01 30 01 14 0A 00 FF 00 00 FF 00 00 FF 00", "00"},
		{"read back", "04 13 06 09 00", "00 11 09 80 02 00 10 20 00 01 30 01 14 0A 00 FF 00 00 FF 00 00 FF 00"},
		{"too short", "04 12 06 09 80", "C7"},
		{"cannot do", "04 12 06 09 80 10 00 10 20 00 01 30 01 14 0A 00 FF 00 00 FF 00 00 FF 00", "CC"},
		{"becomes no manufacturer's", "04 12 06 0A" + tempField, "CC"},
		{"the manufacturer's as it is", "04 12 06 01" + tempField, "00"},
		{"switched on", "04 12 06 01 C0" + tempField[2:], "00"},
		{"read back", "04 13 07 01 00", "00 11 01 C0"},
		{"not changed", "04 12 06 01 40 03" + tempField[5:], "82"},
		{"switched, as ipmitool does", "04 12 07 01 00", "00"},
		{"off, and still the manufacturer's", "04 13 07 01 00", "00 11 01 40"},
		{"on again", "04 12 07 01 80", "00"},
		{"on", "04 13 07 01 00", "00 11 01 C0"},
		{"off, with its type", "04 12 07 01 40", "00"},
		{"type that is not its own", "04 12 07 09 40", "CC"},
		{"reserved type", "04 12 07 09 20", "CC"},
		{"switched off", "04 12 07 09 00", "00"},
		{"and nothing else", "04 13 06 09 00", "00 11 09 00 02 00 10 20 00 01 30 01 14 0A 00 FF 00 00 FF 00 00 FF 00"},
		{"switch 0", "04 12 07 00 80", "C9"},
		{"switch 0", "04 13 07 00 00", "C9"},

		{"policies", "04 13 08 00 00", "00 11 20"},
		{"are not set", "04 12 08 20", "82"},
		{"policy", "04 13 09 20 00", "00 11 20 00 00 00"},
		{"set it", "04 12 09 20 18 11 85", "00"},
		{"read back", "04 13 09 20 00", "00 11 20 18 11 85"},
		{"reserved rule", "04 12 09 20 1D 11 85", "CC"},
		{"policy 33", "04 13 09 21 00", "C9"},
		{"policy 0", "04 12 09 00 18 11 85", "C9"},

		{"GUID", "04 13 0A 00 00", "00 11 00" + strings.Repeat("00", 16)},
		{"set it", "04 12 0A 01 000102030405060708090A0B0C0D0E0F", "00"},
		{"read back", "04 13 0A 00 00", "00 11 01 000102030405060708090A0B0C0D0E0F"},
		{"reserved", "04 12 0A 02 000102030405060708090A0B0C0D0E0F", "CC"},

		{"strings", "04 13 0B 00 00", "00 11 08"},
		{"are not set", "04 12 0B 09", "82"},
		{"keys", "04 13 0C 08 00", "00 11 08 00 00"},
		{"set them", "04 12 0C 08 09 7F", "00"},
		{"read back", "04 13 0C 08 00", "00 11 08 09 7F"},
		{"no such filter", "04 12 0C 08 19 01", "CC"},
		{"reserved", "04 12 0C 08 09 80", "CC"},
		{"keys 9", "04 13 0C 09 00", "C9"},
		{"set keys 9", "04 12 0C 09 01 01", "C9"},

		{"string, empty", "04 13 0D 08 01", "00 11 08 01" + strings.Repeat("00", 16)},
		{"first block", "04 12 0D 08 01 4F7665722074656D7065726174757265", "00"},
		{"second, shorter", "04 12 0D 08 02 2061676100", "00"},
		{"read back", "04 13 0D 08 01", "00 11 08 01 4F7665722074656D7065726174757265"},
		{"read back", "04 13 0D 08 02", "00 11 08 02 2061676100 0000000000000000000000"},
		{"FreeIPMI's last block, a zero", "04 12 0D 08 05 00", "00"},
		{"block 0", "04 13 0D 08 00", "C9"},
		{"block 6", "04 12 0D 08 06 00", "C9"},
		{"no bytes", "04 12 0D 08 01", "C7"},
		{"too many", "04 12 0D 08 01" + strings.Repeat("41", 17), "C7"},
		{"string 9", "04 13 0D 09 01", "C9"},
		{"set string 9", "04 12 0D 09 01 41", "C9"},
		{"volatile string", "04 12 0D 00 01 41", "00"},
		{"read back", "04 13 0D 00 01", "00 11 00 01 41" + strings.Repeat("00", 15)},
	})
}

// What was set is there after a restart, but for what is volatile.
func TestParamsAreKept(t *testing.T) {
	b := newBench(t)
	defer func() { b.stop() }()
	b.set("04 12 00 01", "04 12 01 0F", "04 12 02 21", "04 12 03 07", "04 12 04 08",
		"04 12 06 09 80 02 00 10 20 00 01 30 01 14 0A 00 FF 00 00 FF 00 00 FF 00", "04 12 07 01 80", "04 12 09 20 18 11 85",
		"04 12 0A 01 000102030405060708090A0B0C0D0E0F", "04 12 0C 08 09 7F", "04 12 0D 08 02 414243", "04 12 0D 00 01 41", "04 11 FE")
	before := b.everything()
	b.stop()
	b.make()
	after := b.everything()
	for ask, was := range before {
		want := was
		switch ask {
		case "04 13 00 00 00":
			want = "00 11 00"
		case "04 13 0d 00 01":
			want = "00 11 00 01" + strings.Repeat(" 00", 16)
		}
		if got := after[ask]; got != want {
			t.Errorf("%s: %s, was %s", ask, got, was)
		}
	}
	if got := b.ask("04 11 FF"); got != "00 fe" {
		t.Errorf("postponed: %s", got)
	}
}

// everything reads all parameters.
func (b *bench) everything() map[string]string {
	all := make(map[string]string)
	for p := range len(params) {
		sets, first, blocks := 0, 0, 0
		switch p {
		case 6, 7:
			sets, first = filterCount, 1
		case 9:
			sets, first = policyCount, 1
		case 12:
			sets = stringCount
		case 13:
			sets, blocks = stringCount, stringBlocks
		}
		for set := first; set <= sets; set++ {
			for block := min(1, blocks); block <= blocks; block++ {
				ask := fmt.Sprintf("04 13 %02x %02x %02x", p, set, block)
				all[ask] = b.ask(ask)
			}
		}
	}
	return all
}

// A record that is none of ours stops the controller from starting with what
// it says.
func TestBadRecords(t *testing.T) {
	for name, value := range map[string][]byte{
		recordSettings: {1}, recordFilter + "03": make([]byte, 19), recordFilter + "04": {0: 1, FilterLen - 1: 0},
		recordPolicy + "01": {7, 0, 0}, recordProcessed: {1, 2}, recordString + "08": {1}, recordPostpone: {}, recordSequence: {1},
	} {
		b := &bench{t: t, log: &fakeLog{next: 1}, records: &mc.MemoryRecords{}}
		if err := b.records.Put(name, value); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Config{Records: b.records, Log: b.log}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is written is refused with a code of the command's, or is read back
// as it was written, and after a restart too.
func FuzzSetParam(f *testing.F) {
	for _, s := range []string{
		"00 01", "01 0F", "02 2F", "06 09 80 02 00 10 20 00 01 30 01 14 0A 00 FF 00 00 FF 00 00 FF 00", "07 01 80", "09 20 18 11 85",
		"0A 01 000102030405060708090A0B0C0D0E0F", "0C 08 09 7F", "0D 08 01 414243", "05 01", "60 00",
	} {
		f.Add(unhex(f, s))
	}
	codes := []ipmb.CompletionCode{
		ipmb.OK, ipmb.ErrParamUnsupported, ipmb.ErrParamInProgress, ipmb.ErrParamReadOnly, ipmb.ErrLength, ipmb.ErrInvalidField, ipmb.ErrParameterRange,
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBench(t)
		defer func() { b.stop() }()
		before := b.everything()
		rs := b.mux.ServeIPMI(t.Context(), &ipmb.Request{
			NetFn: ipmb.NetFnSensor, Cmd: 0x12, Data: data, Origin: ipmb.Origin{Privilege: ipmb.PrivilegeAdmin},
		})
		if !slices.Contains(codes, rs.Code) || len(rs.Data) != 0 {
			t.Fatalf("% x: %v % x", data, rs.Code, rs.Data)
		}
		after := b.everything()
		changed := 0
		for ask := range before {
			if before[ask] != after[ask] {
				changed++
			}
		}
		// A filter's first byte is a parameter of its own.
		if most := map[bool]int{true: 2, false: 0}[rs.Code == ipmb.OK]; changed > most {
			t.Fatalf("% x: %v, and %d parameters changed", data, rs.Code, changed)
		}
		b.stop()
		b.make()
		for ask, now := range b.everything() {
			if volatile := strings.HasPrefix(ask, "04 13 00") || strings.HasPrefix(ask, "04 13 0d 00") || strings.HasPrefix(ask, "04 13 0c 00"); !volatile && now != after[ask] {
				t.Fatalf("% x: %s is %s, was %s", data, ask, now, after[ask])
			}
		}
	})
}
