import DataFiles
import Foundation
import Testing

@testable import Machine

@Suite("store · machine.toml") struct MachineFileTests {
    private func file(_ text: String) throws -> MachineFile { try MachineFile(text: text, path: "m.toml") }

    private func error(_ text: String) -> String {
        do throws(DataError) {
            _ = try MachineFile(text: text, path: "m.toml")
            return "none"
        } catch {
            return error.description
        }
    }

    @Test(
        "what is wrong is said with its place",
        arguments: [
            ("[system]\nmemory = 0", "m.toml:2:1 Memory takes 1 to 65536 MiB, not '0'"),
            ("[system]\n  memory = \"64\"", "m.toml:2:3 'memory' must be a whole number"),
            ("[system]\ncpus = 9", "m.toml:2:1 Processors takes 1 to 8, not '9'"),
            ("system.acpi = 1", "m.toml:1:1 'acpi' must be true or false"),
            ("[system]\r\n# x\r\nmemry = 1\r\n", "m.toml:3:1 'memry' is not known"),
            (
                "[sytem]\n",
                "m.toml:1:1 'sytem' is not known (did you mean 'system'?); tables are general, system, display, storage, kernel, serial, virtio, debug"
            ),
            ("memory = 5", "m.toml:1:1 'memory' is not known; tables are general, system, display, storage, kernel, serial, virtio, debug"),
            ("system = 5", "m.toml:1:1 'system' must be a table"),
            ("\nsystem = { memory = 1, cpus = 9 }", "m.toml:2:24 Processors takes 1 to 8, not '9'"),
            ("[[system]]\nmemory = 5", "m.toml:1:1 'system' must be a table"),
            ("[storage]\ndisks = \"a\"", "m.toml:2:1 'disks' must be a list in [ ]"),
            ("[storage]\ndisks = [1]", "m.toml:2:1 'disks' must be text in quotes"),
            ("[storage]\ndisks = [\"\"]", "m.toml:2:1 'disks' must not have empty parts"),
            ("[\nmemory]", "m.toml:1:2 a table's name must begin here"), ("a = 1\n[[ ü]]", "m.toml:2:4 a table's name must begin here"),
            ("[system]\ncpus = ]", "m.toml:2:8 a value is text in quotes, a number"), ("[storage]\ndisks = [\"a\",}", "m.toml:2:14 a value is"),
            ("[system]\nrtc = 2001-02-03 04:05:06 # x", "m.toml:2:7 a value is"), ("[system]\nrtc = 2001-02-03T", "m.toml:2:7 a value is"),

            ("[storage]\ndisks = [\"a\\nb\"]", "m.toml:2:1 'disks' must not have line ends in its parts"),
            (
                "[storage]\ndisk-access = [\"writeable\"]",
                "m.toml:2:1 Access 'writeable' is not known (did you mean 'writable'?); use one of writable, write-through, disposable, read-only"
            ),
            (
                "[system]\nboot = \"cx\"",
                "m.toml:2:1 Boot order consists of the letters a (floppy), c (disk), d (CD), n (network), not 'cx'"
            ),
            ("[system]\nboot = \"cc\"", "m.toml:2:1 Boot order names the same device twice"),
            ("[system]\nrtc = \"tomorrow\"", "m.toml:2:1 Clock starts at: a date looks like 2001-02-03T04:05:06"),
            (
                "[serial]\nports = [\"tty\"]",
                "m.toml:2:1 'tty' is not a serial port's other end; use stdio, none, pty, file:PATH or socket:PATH"
            ),
            (
                "[serial]\nports = [\"pty\", \"pty\", \"pty\", \"pty\", \"pty\"]",
                "m.toml:2:1 Serial ports: there are 5, and there is room for 4"
            ),
            ("[debug]\nconsoles = [\"0x10000\"]", "m.toml:2:1 Debug consoles: an I/O port is a number from 0 to 0xFFFF"),
            ("[display]\nvideo-memory = 3", "m.toml:2:1 Video memory '3' is not known; use one of 1, 2, 4, 8, 16"),
            ("[general]\nos-type = \"linux-65\"", "m.toml:2:1 OS type 'linux-65' is not known (did you mean 'linux-64'?); use one of"),
        ])
    func errors(text: String, message: String) { #expect(error(text).hasPrefix(message), "\(error(text))") }

    @Test("what is no TOML is said with its place") func noTOML() {
        #expect(error("[system\nmemory = 5").hasPrefix("m.toml:1:"))
        #expect(error("[system]\nmemory = \n").hasPrefix("m.toml:2:"))
        #expect(error("[system\n").hasPrefix("m.toml:"))
        #expect(error("[system]\nmemory = 5\nmemory = 6\n").hasPrefix("m.toml:3:"))
    }

    @Test("an empty file is a machine with the defaults") func empty() throws { #expect(try file("").settings == MachineSettings()) }

    @Test("numbers and ports may be written as numbers of any base") func numbers() throws {
        let settings = try file("[system]\nmemory = 0x40\n[debug]\nexit = 0xF4\nconsoles = [0x402, \"0xE9=log\"]\n").settings
        #expect(settings.run.memoryMiB == 64)
        #expect(settings.run.debugExit == 0xF4)
        #expect(settings.run.debugConsoles == [.init(port: 0x402, path: nil), .init(port: 0xE9, path: "log")])
    }

    static let sample = """
        # My machine; do not touch.

        [general]
        os-type = "dos"   # really
        notes = \"\"\"
        first [system]
        memory = 3 # not a key
        \"\"\"

        [ system ]   # odd blanks
          memory=64# tight
        "cpus" = 1

        # disks come here
        [storage]
        disks = [
            "a.img",   # the first, with ] and "
            'b.img',
        ]

        # the end
        """

    private func changed(_ text: String, _ change: (inout MachineSettings) -> Void) throws -> String {
        var file = try file(text)
        var settings = file.settings
        change(&settings)
        try file.change(to: settings)
        #expect(file.settings == settings)
        #expect(try self.file(file.text).settings == settings)
        return file.text
    }

    @Test("a value is replaced in place; everything else stays byte for byte") func replace() throws {
        let text = try changed(MachineFileTests.sample) {
            $0.run.memoryMiB = 128
            $0.run.cpus = 2
        }
        #expect(
            text == MachineFileTests.sample.replacing("memory=64#", with: "memory=128#").replacing("\"cpus\" = 1", with: "\"cpus\" = 2"))
    }

    @Test("a new key goes to the end of its table") func add() throws {
        let text = try changed(MachineFileTests.sample) { $0.run.acpi = false }
        #expect(text == MachineFileTests.sample.replacing("\"cpus\" = 1\n", with: "\"cpus\" = 1\nacpi = false\n"))
    }

    @Test("a list over several lines is replaced as a whole, and removed with its lines") func lists() throws {
        let list = "disks = [\n    \"a.img\",   # the first, with ] and \"\n    'b.img',\n]\n"
        #expect(
            try changed(MachineFileTests.sample) { $0.run.disks = ["c"] }
                == MachineFileTests.sample.replacing(list, with: "disks = [\"c\"]\n"))
        #expect(try changed(MachineFileTests.sample) { $0.run.disks = [] } == MachineFileTests.sample.replacing(list, with: ""))
    }

    @Test("text over several lines is replaced") func notes() throws {
        let text = try changed(MachineFileTests.sample) { $0.notes = "a\nb \"\"\" c \\\n" }
        #expect(text.contains("notes = \"\"\"\na\nb \\\"\\\"\\\" c \\\\\n\"\"\"\n"))
        #expect(text.hasSuffix("# the end"))
    }

    @Test("a table that is not there is made at the end") func table() throws {
        let text = try changed(MachineFileTests.sample) { $0.run.kernel = "/k" }
        #expect(text == MachineFileTests.sample + "\n\n[kernel]\nimage = \"/k\"\n")
        #expect(try changed("") { $0.run.kernel = "/k" } == "[kernel]\nimage = \"/k\"\n")
    }

    @Test("dotted keys and inline tables keep their form") func forms() throws {
        #expect(
            try changed("system.memory = 1\nstorage.floppy = \"a\"") { $0.run.cpus = 3 }
                == "system.memory = 1\nsystem.cpus = 3\nstorage.floppy = \"a\"")
        #expect(try changed("system = { memory = 1 }") { $0.run.cpus = 3 } == "system = { memory = 1 , cpus = 3 }")
        #expect(try changed("system = {}") { $0.run.cpus = 3 } == "system = { cpus = 3 }")
        #expect(
            try changed("system = { memory = 1, boot = \"c\" } # x") {
                $0.run.memoryMiB = 2
                $0.run.boot = []
            } == "system = { memory = 2, boot = \"\" } # x")
    }

    @Test("CR LF stays CR LF") func lineEnds() throws {
        let text = try changed("# x\r\n[system]\r\nmemory = 4\r\n") {
            $0.run.cpus = 2
            $0.notes = "a\nb"
        }
        #expect(text == "# x\r\n[system]\r\nmemory = 4\r\ncpus = 2\r\n\r\n[general]\r\nnotes = \"a\\nb\"\r\n")
    }

    @Test("every setting can be set to something else, taken back, and comes back from a file", arguments: SettingField.all.map(\.key))
    func fields(key: String) throws {
        let field = try #require(SettingField.named(key))
        let other = MachineFileTests.otherValue(field)
        var settings = MachineSettings()
        let before = field.get(settings)
        #expect(before != other)
        // A value must not depend on the others to be set or written.
        try field.set(other, in: &settings)
        #expect(field.get(settings) == other)
        var file = try MachineFile(settings, path: "m")
        #expect(file.settings == settings)
        #expect(try self.file(file.text).settings == settings)
        try file.change(to: MachineSettings())
        #expect(field.get(file.settings) == before)
        #expect(!field.title.isEmpty && field.help.hasSuffix(".") && field.option.hasPrefix("--"))
        #expect(key.hasPrefix(field.section.rawValue + "."))
    }

    @Test("keys and options are unique") func unique() {
        #expect(Set(SettingField.all.map(\.key)).count == SettingField.all.count)
        #expect(Set(SettingField.all.map(\.option)).count == SettingField.all.count)
    }

    /// One that is neither the default nor none.
    static func otherValue(_ field: SettingField) -> String {
        if field.key == "debug.trace" { return "io,irq" }
        func value(_ kind: SettingField.Kind, _ current: String) -> String {
            switch kind {
            case .flag: current == "on" ? "off" : "on"
            case .number(let range, _): Int(current) == range.lowerBound ? String(range.lowerBound + 1) : String(range.lowerBound)
            case .choice(let choices): choices.first { $0.value != current }?.value ?? ""
            case .text where field.key == "debug.trace": "irq"
            case .text: "tëxt with 'quotes' \" and \\ and \u{7}"
            case .lines: "one\n\ntwo \"\"\"\n"
            case .file: "/a b/c"
            case .order(let choices): choices.reversed().map(\.value).joined()
            case .date: "2001-02-03T04:05:06"
            case .serialEnd: "file:/x=y"
            case .port: "0x00F4"
            case .list(let element, let places): (0..<min(places.count, 2)).map { _ in value(element, "") }.joined(separator: "\n")
            }
        }
        return value(field.kind, field.get(MachineSettings()))
    }

    // MARK: Noise

    static let mutations = ProcessInfo.processInfo.environment["VITRINE_MUTATIONS"].flatMap { Int($0) } ?? 1500

    /// Bad bytes, torn lines, words in the wrong place: the loader answers with settings or with an error that names the file, and what it
    /// takes can be edited or is refused. `VITRINE_MUTATIONS` is the number of variants.
    @Test("mutated files never crash the loader or the editor") func mutated() throws {
        var seed = Mutator(state: 0x1234_5678_9ABC_DEF1)
        var full = MachineSettings()
        for field in SettingField.all { try field.set(MachineFileTests.otherValue(field), in: &full) }
        let samples = [
            MachineFileTests.sample, try MachineFile(full, path: "m").text,
            "system = { memory = 1, boot = \"c\" }\nstorage.disks = ['a']\r\n",
        ]
        var good = 0
        var edited = 0
        var unplaced: [String] = []
        for round in 0..<MachineFileTests.mutations {
            let bytes = seed.mutated(Array(samples[round % samples.count].utf8))
            let text = String(decoding: bytes, as: UTF8.self)
            do throws(DataError) {
                var file = try MachineFile(text: text, path: "m.toml")
                good += 1
                var settings = file.settings
                settings.run.memoryMiB = settings.run.memoryMiB == 77 ? 78 : 77
                settings.notes += "x"
                settings.run.disks = settings.run.disks.isEmpty ? ["n"] : []
                do throws(DataError) {
                    try file.change(to: settings)
                    edited += 1
                    #expect(file.settings == settings)
                } catch {
                    #expect(error.file == "m.toml")
                }
            } catch {
                if error.line == 0 { unplaced.append("\(error) in\n\(text)") }
                #expect(error.file == "m.toml" && !error.message.isEmpty)
            }
        }
        // The mutations must not be so coarse that nothing is left to load, nor so fine that nothing breaks.
        #expect(good > MachineFileTests.mutations / 20 && good < MachineFileTests.mutations * 19 / 20)
        #expect(edited > good * 9 / 10)
        #expect(unplaced.isEmpty, "\(unplaced.prefix(5).joined(separator: "\n---\n"))")
    }

    private struct Mutator {
        var state: UInt64

        mutating func next(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(max(bound, 1)))
        }

        static let pieces = [
            "[", "]", "{", "}", "=", "\"", "'", "\"\"\"", "'''", "\n", "\r\n", "#", ",", ".", "\\", "\\u12", "0x", "-1", "1e9", "true",
            "nan", "[[", "]]",
            "system", "memory", "\u{0}", "\u{FEFF}", "ü", "99999999999999999999", "1979-05-27 07:32:00", "[a.b.c]",
            "a = {b = {c = [1,{d=2}]}}", " ",
        ]

        mutating func mutated(_ sample: [UInt8]) -> [UInt8] {
            var bytes = sample
            for _ in 0...next(3) {
                let at = next(bytes.count)
                switch next(6) {
                case 0: if !bytes.isEmpty { bytes[at] = UInt8(next(256)) }
                case 1: bytes.insert(contentsOf: Array(Mutator.pieces[next(Mutator.pieces.count)].utf8), at: at)
                case 2: bytes.removeSubrange(at..<min(bytes.count, at + next(12)))
                case 3: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + next(40))], at: next(bytes.count))
                case 4: bytes = Array(bytes.prefix(at))
                default: if at + 1 < bytes.count { bytes.swapAt(at, next(bytes.count)) }
                }
            }
            return bytes
        }
    }
}
