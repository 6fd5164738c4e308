package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/internal/problem"
	v1 "github.com/midplane-project/midplane/proto/midplane/v1"
)

// bmcFaults are the ways to be bad by the words of the command line.
var bmcFaults = []struct {
	word  string
	value string // what stands after the word; empty: nothing
	kind  v1.BMCFaultKind
	means string
}{
	{"delay", "TIME", v1.BMCFaultKind_BMC_FAULT_KIND_DELAY, "requests wait before they are served"},
	{"drop", "", v1.BMCFaultKind_BMC_FAULT_KIND_DROP, "they are served, and not answered"},
	{"cc", "CODE", v1.BMCFaultKind_BMC_FAULT_KIND_CODE, "they are answered with a completion code, unserved"},
	{"truncate", "BYTES", v1.BMCFaultKind_BMC_FAULT_KIND_TRUNCATE, "answers have so many bytes after the code at most"},
	{"bad-checksum", "", v1.BMCFaultKind_BMC_FAULT_KIND_BAD_CHECKSUM, "QEMU drops the answers"},
	{"wrong-seq", "", v1.BMCFaultKind_BMC_FAULT_KIND_WRONG_SEQ, "the device drops the answers"},
	{"attn-stuck", "", v1.BMCFaultKind_BMC_FAULT_KIND_ATTENTION_STUCK, "the attention line stays up"},
	{"queue-never-empty", "", v1.BMCFaultKind_BMC_FAULT_KIND_QUEUE_NEVER_EMPTY, "Get Message never says that there is none"},
}

func (a *app) faultVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fault",
		Short: "Make a controller misbehave, on purpose",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.faultBMCVerb(), a.faultSensorVerb(), a.faultListVerb(), a.faultHealVerb())
	return cmd
}

func (a *app) faultBMCVerb() *cobra.Command {
	var match string
	var count uint32
	var lasts time.Duration
	var help strings.Builder
	for _, f := range bmcFaults {
		fmt.Fprintf(&help, "  %-18s %s\n", strings.TrimSpace(f.word+" "+f.value), f.means)
	}
	cmd := &cobra.Command{
		Use:   "bmc TARGET FAULT [VALUE]",
		Short: "Make a BMC bad towards its guest's driver",
		Long: "Make a BMC bad towards its guest's driver. The controller itself, the bus and other\n" +
			"doors go on as they should. FAULT is one of:\n\n" + help.String(),
		Example: `  midplane fault bmc blade1 delay 2s --match 6/1 --count 3
  midplane fault bmc blade1 cc 0xc0 --match 0x0a/0x44 --for 1m
  midplane fault bmc blade1 attn-stuck --for 10s`,
		Args:              cobra.RangeArgs(2, 3),
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := parseBMCFault(args[1:], match)
			if err != nil {
				return err
			}
			if lasts < 0 {
				return problem.Usagef("--for %s: want a time in the future", lasts)
			}
			b.Count = count
			return a.withNode(args[0], func(d daemon) error {
				m, err := d.node().InjectFault(cmd.Context(), &v1.InjectFaultRequest{Bmc: b, Duration: int64(lasts)})
				if err != nil {
					return d.explain(err)
				}
				return a.printFaults([]*v1.Fault{m.Fault})
			})
		},
	}
	cmd.Flags().StringVar(&match, "match", "", "only requests `NETFN/CMD`, such as 0x06/0x01")
	cmd.Flags().Uint32Var(&count, "count", 0, "so many requests, then no more (0: all)")
	cmd.Flags().DurationVar(&lasts, "for", 0, "how long (0: until midplane fault heal)")
	return cmd
}

// parseBMCFault reads FAULT [VALUE] and --match.
func parseBMCFault(args []string, match string) (*v1.BMCFault, error) {
	for _, f := range bmcFaults {
		if f.word != args[0] {
			continue
		}
		b := &v1.BMCFault{Kind: f.kind}
		if (len(args) > 1) != (f.value != "") {
			return nil, problem.Usagef("want: midplane fault bmc TARGET %s", strings.TrimSpace(f.word+" "+f.value))
		}
		if err := readFaultValue(b, args[1:]); err != nil {
			return nil, err
		}
		return b, readMatch(b, match)
	}
	return nil, problem.Usagef("%q is no fault: midplane fault bmc --help lists them", args[0])
}

func readFaultValue(b *v1.BMCFault, args []string) error {
	if len(args) == 0 {
		return nil
	}
	switch b.Kind {
	case v1.BMCFaultKind_BMC_FAULT_KIND_DELAY:
		d, err := time.ParseDuration(args[0])
		if err != nil || d <= 0 {
			return problem.Usagef("delay %q: want a time such as 500ms", args[0])
		}
		b.Delay = int64(d)
	case v1.BMCFaultKind_BMC_FAULT_KIND_CODE:
		n, err := strconv.ParseUint(args[0], 0, 8)
		if err != nil || n == 0 {
			return problem.Usagef("cc %q: want a completion code, 0x01 to 0xff", args[0])
		}
		b.CompletionCode = uint32(n)
	default:
		n, err := strconv.ParseUint(args[0], 0, 16)
		if err != nil {
			return problem.Usagef("truncate %q: want a number of bytes", args[0])
		}
		b.Keep = uint32(n)
	}
	return nil
}

func readMatch(b *v1.BMCFault, match string) error {
	if match == "" {
		return nil
	}
	netFn, cmd, ok := strings.Cut(match, "/")
	n, err := strconv.ParseUint(netFn, 0, 6)
	c, err2 := strconv.ParseUint(cmd, 0, 8)
	if !ok || err != nil || err2 != nil || n&1 != 0 {
		return problem.Usagef("--match %q: want NETFN/CMD, such as 0x06/0x01", match)
	}
	b.Match = &v1.RequestMatch{NetFn: uint32(n), Command: uint32(c)}
	return nil
}

func (a *app) faultListVerb() *cobra.Command {
	return &cobra.Command{
		Use:               "ls TARGET",
		Short:             "List what a node does wrong on purpose",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withNode(args[0], func(d daemon) error {
				m, err := d.node().ListFaults(cmd.Context(), &v1.ListFaultsRequest{})
				if err != nil {
					return d.explain(err)
				}
				return a.printFaults(m.Faults)
			})
		},
	}
}

func (a *app) faultHealVerb() *cobra.Command {
	return &cobra.Command{
		Use:               "heal TARGET [ID]",
		Short:             "End a fault, or all of a node's",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeTargets,
		RunE: func(cmd *cobra.Command, args []string) error {
			var id uint64
			if len(args) > 1 {
				var err error
				if id, err = strconv.ParseUint(args[1], 10, 32); err != nil || id == 0 {
					return problem.Usagef("%q is no fault's number: midplane fault ls %s lists them", args[1], args[0])
				}
			}
			return a.withNode(args[0], func(d daemon) error {
				if _, err := d.node().HealFault(cmd.Context(), &v1.HealFaultRequest{Id: uint32(id)}); err != nil {
					return d.explain(err)
				}
				a.say("healed")
				return nil
			})
		},
	}
}
