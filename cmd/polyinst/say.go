package main

import (
	"fmt"
	"log/syslog"
	"os"
)

// logged writes to the system log, as login programs do.
func logged(severity syslog.Priority, format string, args ...any) {
	log, err := syslog.New(syslog.LOG_AUTHPRIV|severity, "polyinst")
	if err != nil {
		return // there is none
	}
	_, _ = fmt.Fprintf(log, format, args...)
	_ = log.Close()
}

// tell prints to standard error.
func tell(format string, args ...any) { fmt.Fprintf(os.Stderr, "polyinst: "+format+"\n", args...) }
