package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/midplane-project/midplane/deploy/lab"
	"github.com/midplane-project/midplane/internal/problem"
)

func (a *app) guestVerb() *cobra.Command {
	cmd := &cobra.Command{Use: "guest", Short: "Build the lab guest", Args: cobra.NoArgs}
	var kernel, modules string
	build := &cobra.Command{
		Use:   "build",
		Short: "Build the lab guest from Debian's packages, or take it from the cache",
		Long: `Build the lab guest from Debian's packages: a stock kernel, or yours, and an
initramfs with ipmitool, FreeIPMI and the QEMU guest agent. Needs no root.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if modules != "" && kernel == "" {
				return problem.Usagef("--modules without --kernel: give both")
			}
			h, err := lab.OpenHome()
			if err != nil {
				return err
			}
			progress := func(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }
			image, err := lab.BuildGuest(cmd.Context(), h, kernel, modules, progress)
			if err != nil {
				return err
			}
			return a.print(image, func(t *table) {
				t.row("kernel", image.Kernel)
				t.row("initrd", image.Initrd)
				t.row("version", image.Version)
				t.row("release", image.Release)
			})
		},
	}
	build.Flags().StringVar(&kernel, "kernel", "", "a kernel of your own (`FILE`, a bzImage)")
	build.Flags().StringVar(&modules, "modules", "", "its modules (`DIR`, as lib/modules/RELEASE)")
	cmd.AddCommand(build)
	return cmd
}
