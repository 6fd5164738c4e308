//go:build e2e

package difference

// explanation says why the two answer some questions differently. An x stands
// for any digit, and * for anything, or nothing, from there on.
type explanation struct {
	asks      string // questions that begin like these, parted by |
	node, sim string // what each answers
	why       string
}

var explained = []explanation{
	{
		"00 07|00 0f|04 15|04 22|04 23|04 2b|06 04|06 07|06 08|06 09|06 0a|06 0b|06 0c|06 0d|06 37|06 4a|06 4b|06 4d|06 4f|06 54|06 59|06 61|06 63|06 64|" +
			"0a 21|0a 5a|0a 5c|0c 02 0e|0c 11|0c 22",
		"*", "c1",
		"ipmi_sim does not serve it, though IPMI 2.0 appendix G has it",
	},
	{"06 4e 01", "00 03 00 3f *", "00 02 00 00 *", "the node takes IPMI messages and logins, too (IPMI 2.0 table 13-16)"},
	{"06 4e 05", "cc", "00 02 *", "there is no channel 5"},
	{"06 38|06 3d", "*", "c1", "ipmi_sim serves what belongs to sessions to its LAN only"},
	{
		"00 00 00|00 01 00|04 01 00|04 10 00|04 20 01 00|04 27 20 00|04 21 00 00 00 00 00 ff 00|04 29 10 00|04 2d 10 00|04 2f 10 00|06 01 00|06 25 00|06 2f 00|06 31 00|" +
			"06 41 0f 40 00|06 42 0f 00|06 44 0e 01 00|0a 10 00 00|0a 11 00 00 00 08 00|0a 20 00|0a 22 00|0a 23 00 00 00 00 00 ff 00|" +
			"0a 28 00|0a 40 00|0a 41 00|0a 42 00|0a 43 00 00 00 00 00 ff 00|0a 48 00",
		"c7", "00 *",
		"a request that is too long: C7h (IPMI 2.0 table 5-2); ipmi_sim looks for too short ones only",
	},
	{"00 09 05 00 00 00|06 46 01 00", "c7", "cc", "a request that is too long; ipmi_sim has an objection to what it asks, too"},
	{"06 33 00|06 35 00", "c7", "80", "a request that is too long; ipmi_sim says that nothing waits"},
	{"04 25 10 ff 00|04 27 10 00", "c7", "c1", "a request that is too long; ipmi_sim says that the sensor has no such thing"},
	{
		"04 25 40|04 27 40|04 29 40|04 2d 40|04 2f 40|0a 10 01|0a 10 ff|0a 11 01", "cb", "cc",
		"CBh is for what is not present, CCh for a field that makes no sense (IPMI 2.0 table 5-2)",
	},
	{"04 25 10 ff|04 27 10", "cd", "c1", "CDh is for what cannot be asked of this sensor (IPMI 2.0 table 5-2); the command itself is there"},

	{
		"00 00", "00 06 00 20 20 20", "00 00 20 20 20 20 *",
		"the node says which buttons it has, and no FRU device's address (IPMI 2.0 §28.1); ipmi_sim sends what is on its stack (facts/ipmi_sim.md 0.5)",
	},
	{"00 01", "00 21 00 40 70", "00 01 00 00", "the node has a restore policy, an identify state, and buttons that may be disabled (IPMI 2.0 §28.2)"},
	{
		"00 09 00|00 09 03|00 09 05 00 00|00 09 06|00 09 07", "00 01 0x 0*", "cc",
		"ipmi_sim has no other parameter than the acknowledge (IPMI 2.0 table 28-14)",
	},
	{"00 09 04", "00 01 04 00 00", "00 01 04", "the acknowledge is two bytes, write mask and data (IPMI 2.0 table 28-14)"},
	{"00 09 7f", "80", "cc", "80h is for a parameter that is not supported (IPMI 2.0 §28.13)"},

	{"04 01", "00 ff 00", "00 20 00", "a BMC without a shelf has nobody to send events to: FFh, disabled (IPMI 2.0 §29.1)"},
	{"04 10", "00 51 2f 18", "00 51 3f 10", "the node has 24 filters and no action of an OEM (IPMI 2.0 §30.1)"},
	{"04 13 05", "00 11 18", "00 11 0f", "the node has 24 filters; ipmi_sim has 16 and says 15"},
	{"04 13 06 01", "00 11 01 40 *", "00 11 01 00 *", "the node comes with some of the manufacturer's filters, which are off"},
	{"04 13 06 00", "c9", "cc", "there is no filter 0: C9h, out of range (IPMI 2.0 table 5-2)"},
	{"04 13 07 09", "00 11 09 80", "00 11 09 00", "parameter 7 is the first byte of parameter 6 (IPMI 2.0 table 30-6); ipmi_sim keeps it apart"},
	{"04 13 86", "00 11", "cc", "the revision alone (IPMI 2.0 §30.4)"},
	{"04 20", "00 xx 01", "00 xx 01", "ipmi_sim adds a sensor for its watchdog by itself"},
	{
		"04 21 00 00 00 00 00 ff", "00 02 00 01 00 51 12 0f 20 00 00 bf 00 00 00 07 01 00 c4 74 77 69 6e", "00 02 00 01 00 51 12 0f 20 00 00 bf 00 00 00 07 01 00 c4 74 77 69 6e xx xx xx xx xx xx",
		"ipmi_sim reads on behind the record",
	},
	{
		"0a 23 00 00 00 00 00 ff", "00 02 00 01 00 51 12 0f 20 00 00 bf 00 00 00 07 01 00 c4 74 77 69 6e", "00 02 00 01 00 51 12 0f 20 00 00 bf 00 00 00 07 01 00 c4 74 77 69 6e xx xx xx xx xx xx",
		"ipmi_sim reads on behind the record",
	},
	{"04 21 00 00 01 00 00 80|0a 23 00 00 01 00 00 80", "ca", "00 02 00 01 00 51 12 *", "CAh when there are not that many bytes (IPMI 2.0 table 5-2); ipmi_sim reads on behind the record"},
	{"04 21 00 00 02 00 00 ff", "00 03 00 02 00 51 02 25 *", "c8", "ipmi_sim does not give a record of more than 36 bytes in one piece"},
	{"0a 23 00 00 02 00 00 ff|0a 23 00 00 09 00 00 ff|0a 23 00 00 ff ff 00 ff", "00 xx xx xx 00 51 0x *", "ca", "ipmi_sim does not give a record of more than 36 bytes in one piece"},
	{"04 21 00 00 02 00 05|04 21 34 12", "c5", "00 03 00 20 00 10 07 01", "a part of a record needs a reservation (IPMI 2.0 §35.3); ipmi_sim has none for device SDRs"},
	{"0a 23 00 00 02 00 05", "c5", "00 03 00 20 00 10 07 01", "a part of a record needs a reservation (IPMI 2.0 §33.11); ipmi_sim lets 0000h pass"},
	{"04 2d 14", "00 00 e0 00 80", "00 00 c0 00 00", "whether an operating system has stopped is not known before something is known of the VM"},
	{"04 2d 2", "00 xx c0 c0", "00 xx c0 00 00", "bits 7 and 6 of a threshold sensor's states are returned as 1, and there is no second byte (IPMI 2.0 §35.14)"},
	{"04 2d 1", "00 00 c0 0x 80", "00 00 c0 0x 00", "bit 7 of a discrete sensor's second byte is returned as 1 (IPMI 2.0 §35.14)"},

	{"06 25", "00 04 00 00 00 2c 01 2c 01", "00 04 00 00 00 2c 01", "ipmi_sim forgets the present countdown (facts/ipmi_sim.md 0.6)"},
	{"06 41 0f 40|06 41 00|06 41 0e", "82", "00 02 00", "82h is for a channel without sessions (IPMI 2.0 §22.23)"},
	{"06 41 0f 00|06 41 0f c0", "82", "cc", "82h is for a channel without sessions, whatever else is asked of it (IPMI 2.0 §22.23)"},
	{"06 42 0f|06 42 0e", "00 0f 0c 05 00 f2 1b 00 ff ff", "00 0f 05 09 00 f2 1b 00 00 00", "the node has a system interface, KCS, without interrupts of its own (IPMI 2.0 §22.24); to ipmi_sim it is a serial line"},
	{"06 42 05|06 42 0c", "cc", "cb", "Linux looks for further channels after CCh only (facts/qemu_linux.md)"},
	{"06 44 0e 01|06 44 0f 02", "00 10 80 01 0f", "00 3f 00 00 00", "the node has 16 users, who are disabled, the first with a fixed name, without access to the system interface (IPMI 2.0 §22.27)"},
	{"06 44 05 01", "cc", "00 3f 00 00 00", "there is no channel 5"},
	{"06 44 0e 3f", "cc", "00 3f 00 00 00", "the node has 16 users"},
	{"06 46 01", "00 00 *", "cc", "user 1 has the name of null characters (IPMI 2.0 §22.28)"},
	{"06 46 3f", "cc", "00 00 *", "the node has 16 users"},

	{"0a 11 00 00 00 ff", "ca", "c8", "CAh when that many bytes cannot be returned (IPMI 2.0 table 5-2)"},
	{"0a 20", "00 51 xx 00 fe ff xx xx xx xx ff ff ff ff 6f", "00 51 xx 00 fe ff xx xx 00 00 00 00 00 00 02", "the node has every operation of a repository, knows the time, and has never erased anything (IPMI 2.0 §33.9, §37.1)"},
	{"0a 28", "00 xx xx xx xx", "00 xx xx 00 00", "the node knows the time; ipmi_sim's repository counts from when it began"},
	{"0a 40", "00 51 05 00 b0 ff 00 00 00 60 ff ff ff ff 0f", "00 51 05 00 b0 ff 00 00 00 60 00 00 00 00 0b", "the log was never erased: FFFFFFFFh (IPMI 2.0 §37.1); the node has Partial Add SEL Entry"},
	{"0a 41", "00 00 10 10 00 fb 0f fb 0f 01", "00 00 00 10 00 b0 ff b0 ff 01", "the node counts in units of a record (IPMI 2.0 §31.3)"},
	{"0a 42", "00 01 00", "00 02 00", "the number of a reservation is the controller's to choose; a log where nothing was erased needs no other"},
	{"0a 43 00 00 02 00 02 04", "c5", "00 03 00 *", "a part of a record needs a reservation (IPMI 2.0 §31.4); ipmi_sim lets 0000h pass"},
	{"0a 43 [0a 42] 02 00 10 01", "c9", "cc", "C9h is for an offset beyond the record (IPMI 2.0 table 5-2)"},
	{"0a 43 00 00 02 00 00 11", "ca", "00 03 00 02 00 *", "CAh when there are not that many bytes (IPMI 2.0 table 5-2)"},

	{"0c 02 01 03 00|0c 02 01 7f|0c 02 05", "*", "cb", "ipmi_sim has no LAN channel of a number that is not in its configuration; the node has channel 1"},
	{"0c 02 81", "00 11", "cc", "the revision alone (IPMI 2.0 §23.2); ipmi_sim has no channel 1"},
}
