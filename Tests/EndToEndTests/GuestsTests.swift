import Foundation
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
}
