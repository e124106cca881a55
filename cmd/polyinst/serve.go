package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/kernel/peer"
	"pam_polyinst/internal/serve"
)

// A worker's namespaces are its main thread's, by which the host joins them: the
// main goroutine never leaves that thread.
func init() {
	if len(os.Args) > 1 && os.Args[1] == serve.WorkerCommand {
		runtime.LockOSThread()
	}
}

func serveCommand() *cobra.Command {
	var workers int
	var foreground, check bool
	cmd := &cobra.Command{
		Use:    "serve",
		Hidden: true, // it is for systemd
		Short:  "have workers ready, so that a login waits for none to start",
		Long: `Serve has processes ready that open sessions as the process does which a login
program would fork: a login takes a fraction of the time then. systemd starts it
by polyinst.socket. Nothing depends on it: whom it does not serve forks.`,
		Example: `  systemctl enable --now polyinst.socket
  polyinst serve --foreground         without systemd`,
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			if err := needUID0("serve"); err != nil {
				return err
			}
			if workers < 1 || workers > workersMost {
				return usageError{fmt.Errorf("--workers: from 1 to %d, not %d", workersMost, workers)}
			}
			if check {
				return serve.May()
			}
			return (&serve.Pool{Workers: workers, Foreground: foreground, Log: os.Stderr}).Run()
		},
	}
	cmd.Flags().IntVar(&workers, "workers", serve.Workers(), "`NUMBER` of sessions that are opened at one time")
	cmd.Flags().BoolVar(&foreground, "foreground", false, "make the socket, instead of taking over systemd's")
	cmd.Flags().BoolVar(&check, "check", false, "only say why no worker may serve here, and fail then")
	return cmd
}

// workersMost is more than a machine has use for.
const workersMost = 64

// serveWorkerCommand is what serve starts.
func serveWorkerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    serve.WorkerCommand,
		Short:  "what serve starts",
		Hidden: true,
		Args:   none,
		RunE: func(*cobra.Command, []string) error {
			peer.Umask()
			peer.OwnLimits()
			return serve.Work()
		},
	}
}
