import Foundation
import Hardware
import Machine
import Testing

/// Real guests, scripted: the quick half of Tests/acceptance.sh.
@Suite("program · guests", .serialized) struct GuestsTests {
    @Test("GRUB starts from CD; a typed command is answered", .enabled(if: Guest.has(Guest.cdrom)))
    func grub() throws {
        let stats = try Program.script(
            """
            wait-for automatically 60
            keys c
            wait-for ^grub> 20
            type echo hello-$grub_platform\\n
            wait-for ^hello-pc
            stop
            """, ["--cdrom", Guest.cdrom])
        #expect(stats.exit_status == 0, "\(stats.errors)")
    }

    @Test("iPXE comes to its prompt at Ctrl-B", .enabled(if: Guest.has(Guest.ipxe)))
    func ipxe() throws {
        let stats = try Program.script(
            """
            wait-for Ctrl-B 60
            keys ctrl-b
            wait-for ^iPXE> 30
            type echo hello-ipxe\\n
            wait-for ^hello-ipxe
            stop
            """, ["--kernel", Guest.ipxe])
        #expect(stats.exit_status == 0, "\(stats.errors)")
    }

    @Test("Linux gives shells on the screen and on COM1, and ends the run with 0", .enabled(if: Guest.has(Guest.kernel, Guest.initrd)))
    func linux() throws {
        let stats = try Program.script(
            """
            wait-for-serial "/ # " 300
            type echo screen-$((6*7))\\n
            wait-for ^screen-42
            type-serial echo serial-$((6*7))\\n
            wait-for-serial serial-42
            type poweroff -f\\n
            wait 60
            """,
            ["--kernel", Guest.kernel, "--initrd", Guest.initrd, "--append", "quiet console=tty0 console=ttyS0", "--serial", "none"])
        #expect(stats.exit_status == 0, "\(stats.errors)")
        #expect(stats.outcome == "power-off")
    }

    /// What Linux would say of bad tables or clocks.
    static let complaints = "acpi (bios )?(error|warning)|firmware bug|bios bug|unstable|lost ticks|unable to calibrate|calibration failed|broken"

    @Test("Linux has no complaints about tables and clocks, with one processor and with four", .enabled(if: Guest.has(Guest.kernel, Guest.initrd)),
        arguments: [1, 4])
    func tables(cpus: Int) throws {
        let stats = try Program.script(
            """
            wait-for-serial "/ # " 300
            type-serial dmesg -n 1; echo complaints $(dmesg | grep -E -i -c '\(GuestsTests.complaints)')\\n
            wait-for-serial "complaints 0"
            type-serial echo processors $(grep -c ^processor /proc/cpuinfo)\\n
            wait-for-serial "processors \(cpus)"
            type-serial poweroff\\n
            wait 60
            """,
            [
                "--kernel", Guest.kernel, "--initrd", Guest.initrd, "--append", "console=ttyS0", "--serial", "none", "--cpus", "\(cpus)",
            ])
        #expect(stats.exit_status == 0, "\(stats.errors)")
        #expect(stats.outcome == "power-off")
    }

    @Test("the ACPI power button makes Linux shut down", .enabled(if: Guest.has(Guest.kernel, Guest.initrd))) func powerButton() throws {
        var settings = RunSettings()
        (settings.kernel, settings.initrd, settings.append) = (Guest.kernel, Guest.initrd, "quiet console=tty0")
        (settings.clock, settings.headless, settings.timeoutSeconds) = (.virtual, true, 300)
        let session = try RunSession(settings, diagnose: { _ in })
        session.start()
        // The shell starts when the event daemon runs.
        #expect(eventually(250) { session.machine.view().frame.text.contains("/ #") })
        session.machine.post(.acpiPowerButton)
        #expect(session.machine.waitForEnd().0 == .poweredOff)
        #expect(session.finish() == 0)
    }
}
