import Foundation
import Testing

@testable import Machine

@Suite("store · wizard and command lines") struct DraftTests {
    @Test("the OS type brings its defaults; what the user has set stays") func defaults() throws {
        var draft = MachineDraft()
        draft.choose(try #require(OSType.named("dos")), taken: ["dos", "dos 2"])
        #expect(draft.name == "dos 3" && draft.settings.run.memoryMiB == 32 && draft.diskSize == "512M" && draft.settings.run.rtcLocal)
        try draft.set(try #require(SettingField.named("system.memory")), to: "48")
        draft.name = "mine"
        draft.nameIsOwn = true
        draft.choose(try #require(OSType.named("linux-64")), taken: [])
        #expect(draft.name == "mine" && draft.settings.run.memoryMiB == 48 && draft.diskSize == "16G" && !draft.settings.run.rtcLocal)
        #expect(draft.settings.run.diskInterface == .virtio)
        draft.choose(try #require(OSType.named("l4")), taken: [])
        #expect(draft.diskChoice == .none)
    }

    @Test("each page says what is wrong under the field that it is about") func problems() throws {
        var draft = MachineDraft(try #require(OSType.named("dos")))
        #expect(draft.problems(in: .system, taken: []) == ["name": "A machine needs a name."])
        draft.name = "a"
        #expect(draft.problems(in: .system, taken: ["a"]) == ["name": "There is already a machine 'a'."])
        #expect(draft.problems(in: .system, taken: []).isEmpty)
        draft.diskSize = "8"
        #expect(
            draft.problems(in: .disk, taken: []) == [
                "disk.size": "The size is a number with M, G or T behind it, for example 8G; '8' is not."
            ])
        draft.diskSize = "9T"
        #expect(draft.problems(in: .disk, taken: []) == ["disk.size": "The size of 9T is out of range; it may be 1M to 2T."])
        draft.diskChoice = .existing
        draft.diskPath = "/nowhere.img"
        #expect(draft.problems(in: .disk, taken: []) == ["disk.path": "'/nowhere.img' cannot be opened: no such file or directory."])
        try draft.set(try #require(SettingField.named("storage.cdrom")), to: "/nowhere.iso")
        #expect(Array(draft.problems(in: .media, taken: []).keys) == ["storage.cdrom"])
    }

    @Test("the wizard's command line makes the same machine") func commandLine() throws {
        var draft = MachineDraft(try #require(OSType.named("dos")))
        draft.name = "it's"
        draft.diskFormat = .fixed
        try draft.set(try #require(SettingField.named("system.memory")), to: "48")
        try draft.set(try #require(SettingField.named("storage.floppy")), to: "/a b.img")
        #expect(
            draft.commandLine
                == "vitrine create 'it'\\''s' --os-type dos --disk-size 512M --disk-format fixed --memory 48 --floppy '/a b.img'")
    }

    @Test("set turns one into the other, and nothing is nothing") func set() throws {
        let old = try #require(OSType.named("dos")).settings
        var new = old
        #expect(CommandText.set("a", from: old, to: new) == nil)
        new.run.boot = []
        new.run.acpi = true
        new.run.rtcLocal = false
        new.run.noReboot = true
        new.run.serial = [.none, .pty]
        new.tags = ["x", "y z"]
        #expect(
            CommandText.set("a", from: old, to: new)
                == "vitrine set a --tag x --tag 'y z' --no-boot --acpi --no-rtc-local --no-reboot --serial none --serial pty")
        #expect(CommandText.set("a", from: new, to: old)?.contains("--reboot") == true)
    }

    @Test(
        "sizes",
        arguments: [
            ("512M", 512 << 20), ("8G", 8 << 30), ("1T", 1 << 40), ("1.5G", 3 << 29), ("2g", 2 << 30), ("720K", 720 << 10),
            ("4GiB", 4 << 30), ("0", 0),
        ]
            as [(String, UInt64)])
    func sizes(text: String, bytes: UInt64) throws {
        #expect(try ByteSize.parse(text) == bytes)
        #expect(try ByteSize.parse(ByteSize.exact(bytes)) == bytes)
    }

    @Test("what is no size", arguments: ["", "8", "G", "-1G", "8X", "8 G", "1e3G", "99999999999T", "9999999999999999G", "0x8G"])
    func badSizes(text: String) { #expect(throws: MachineError.self) { try ByteSize.parse(text) } }
}
