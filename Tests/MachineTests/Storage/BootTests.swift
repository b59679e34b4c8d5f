import Foundation
import CPU
import Glibc
import Hardware
import Machine
import Testing

private enum Guest {
    static let grub = "/usr/lib/grub-rescue/"
    static let firmware = "/usr/share/seabios/"
    static let present = access(grub + "grub-rescue-floppy.img", R_OK) == 0 && access(firmware + "bios-256k.bin", R_OK) == 0
}

/// Debian's GRUB rescue images, each in its own kind of drive, under SeaBIOS: `apt-get install seabios grub-rescue-pc`.
@Suite("storage · booting from every kind of drive") struct BootTests {
    private func load(_ path: String) throws -> [UInt8] {
        let medium = try RawImage(path: path, readOnly: true)
        var bytes = [UInt8](repeating: 0, count: Int(medium.sectorCount) * 512)
        let done = bytes.withUnsafeMutableBytes { medium.read(sector: 0, into: $0) }
        try #require(done)
        return bytes
    }

    /// Runs until the screen shows `text`, at most so many million instructions; returns the screen.
    private func run(_ pc: PC, until text: String, millions: Int) -> String {
        var screen = ""
        for _ in 0..<millions {
            if case .shutdown(let sentence) = pc.run(instructions: 1_000_000) { return sentence }
            screen = pc.textFrame().text
            if screen.contains(text) { break }
        }
        return screen
    }

    private func press(_ pc: PC, _ keys: [PCKey]) {
        for key in keys {
            for _ in 0..<200 where !pc.typingReady { _ = pc.run(instructions: 100_000) }
            pc.key(key, down: true)
            _ = pc.run(instructions: 2_000_000)
            pc.key(key, down: false)
            _ = pc.run(instructions: 2_000_000)
        }
    }

    @Test(
        "GRUB comes up to its menu, and its command line lists the drive", .enabled(if: Guest.present),
        arguments: [
            ("grub-rescue-floppy.img", "a", false), ("grub-rescue-usb.img", "c", false), ("grub-rescue-usb.img", "c", true),
            ("grub-rescue-cdrom.iso", "d", false),
        ])
    func grub(image: String, letter: String, virtio: Bool) throws {
        var settings = BoardSettings(
            bios: try load(Guest.firmware + "bios-256k.bin"), vgaBIOS: try load(Guest.firmware + "vgabios-stdvga.bin"))
        settings.bootOrder = letter
        if virtio { settings.virtio.disks = 1 }
        let pc = try PC(settings)
        let path = Guest.grub + image
        switch letter {
        case "a": pc.media[.floppyA] = try FloppyImage.open(path: path, access: .disposable)
        case "c": pc.media[virtio ? .virtio0 : .ide0Master] = try DiskImage.open(path: path, access: .disposable)
        default: pc.media[.ide1Master] = try ISOImage(path: path)
        }
        let menu = run(pc, until: "automatically in", millions: 3000)
        #expect(menu.contains("GNU GRUB"), "\(menu)")
        press(pc, [.c])
        let prompt = run(pc, until: "grub>", millions: 500)
        #expect(prompt.contains("grub>"), "\(prompt)")
        press(pc, [.l, .s, .enter])
        let drive = ["a": "(fd0)", "c": "(hd0", "d": "(cd"][letter] ?? ""
        let list = run(pc, until: drive, millions: 1000)
        #expect(list.contains(drive), "\(list)")
    }

    @Test(
        "GRUB comes up from images that qemu-img has made", .enabled(if: Guest.present && Reference.tool != nil, Reference.missing),
        arguments: ["vdi", "qcow2", "qcow2 -c", "vmdk", "vmdk -o subformat=streamOptimized", "vpc", "qcow2 child"])
    func reference(format: String) throws {
        try withTemporaryFolder { folder in
            var path = folder + "/disk"
            let words = format.split(separator: " ").map(String.init)
            let options = words.dropFirst().filter { $0 != "child" }
            // A copy: another test may hold the file.
            let source = folder + "/source"
            try Data(contentsOf: URL(fileURLWithPath: Guest.grub + "grub-rescue-usb.img")).write(to: URL(fileURLWithPath: source))
            let converted = try Reference.run(["convert", "-f", "raw", "-O", words[0]] + options + [source, path])
            try #require(converted.status == 0, "\(converted.output)")
            if format.hasSuffix("child") {
                let made = try Reference.run("create", "-f", "qcow2", "-b", "disk", "-F", "qcow2", folder + "/child")
                try #require(made.status == 0, "\(made.output)")
                path = folder + "/child"
            }
            let pc = try PC(BoardSettings(bios: try load(Guest.firmware + "bios-256k.bin"), vgaBIOS: try load(Guest.firmware + "vgabios-stdvga.bin")))
            pc.media[.ide0Master] = try DiskImage.open(path: path, access: format.contains("stream") ? .readOnly : .readWrite)
            let menu = run(pc, until: "automatically in", millions: 3000)
            #expect(menu.contains("GNU GRUB"), "\(menu)")
        }
    }
}
