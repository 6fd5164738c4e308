package pef

// defaults are the parameters of a new controller: PEF is off, and so is every
// filter, so that nothing happens to a VM that nobody asked for.
func defaults() *config {
	c := &config{actions: actionsSupported, delay: defaultDelay, alertDelay: defaultDelay}
	n := copy(c.filters[:], manufacturerFilters())
	for i := n; i < len(c.filters); i++ {
		c.filters[i] = blank()
	}
	return c
}

// blank is a filter that nobody has configured. It would match everything.
func blank() Filter {
	return Filter{
		Generator: [2]byte{matchAny, matchAny}, SensorType: matchAny, Sensor: matchAny, Trigger: matchAny, Offsets: 0xFFFF,
		Data: [3]Compare{anything, anything, anything},
	}
}

// firstPolicy is the policy set that the manufacturer's filters alert by.
const firstPolicy = 1

const (
	triggerThreshold = 0x01
	// Critical and non-recoverable, going the bad way (IPMI 2.0 table 42-2).
	thresholdsCrossed = 1<<2 | 1<<4 | 1<<9 | 1<<11
)

// manufacturerFilters are what a server's controller comes with: one for each
// kind of trouble that somebody may want to hear of.
func manufacturerFilters() (out []Filter) {
	for _, k := range []struct {
		sensorType, trigger byte // IPMI 2.0 table 42-3
		offsets             uint16
		severity            Severity
	}{
		{0x01, triggerThreshold, thresholdsCrossed, SeverityCritical}, // temperature
		{0x02, triggerThreshold, thresholdsCrossed, SeverityCritical}, // voltage
		{0x04, triggerThreshold, thresholdsCrossed, SeverityCritical}, // fan
		{0x05, sensorSpecific, 1 << 0, SeverityCritical},              // chassis intrusion
		{0x08, sensorSpecific, 1<<1 | 1<<2 | 1<<3, SeverityCritical},  // power supply: failed, going to, without input
		{0x0C, sensorSpecific, 1 << 1, SeverityNonRecoverable},        // memory: uncorrectable error
		{0x20, sensorSpecific, 1<<0 | 1<<1, SeverityNonRecoverable},   // operating system: stopped at start, or running
		{0x23, sensorSpecific, 0x000F, SeverityCritical},              // watchdog: expired, with any action
	} {
		f := blank()
		f.Manufacturer, f.Actions, f.Policy, f.Severity = true, ActionAlert, firstPolicy, k.severity
		f.SensorType, f.Trigger, f.Offsets = k.sensorType, k.trigger, k.offsets
		out = append(out, f)
	}
	return out
}
