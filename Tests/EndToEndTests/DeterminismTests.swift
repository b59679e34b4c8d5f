import Foundation
import Testing

/// `--clock virtual --max-instructions N` twice, and a third time by the translator: the same digest of processor, memory and chips. Over a whole Linux boot:
/// Tests/acceptance.sh.
@Suite("program · determinism", .serialized) struct DeterminismTests {
    private func digests(_ limit: UInt64, _ arguments: [String]) throws -> [Program.Stats] {
        try ["interpreter", "interpreter", "translator"].map { engine in
            try withFolder { folder in
                let limits = ["--clock", "virtual", "--max-instructions", "\(limit)", "--engine", engine, "--stats", folder + "/stats"]
                let result = try Program.run(["run", "--headless"] + limits + arguments)
                #expect(result.status == 0, "\(result.errors)")
                return try JSONDecoder().decode(Program.Stats.self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/stats")))
            }
        }
    }

    @Test("the firmware starting nothing, and GRUB starting from a floppy", arguments: [1, 999_983, 7_000_001, 40_000_003] as [UInt64])
    func firmware(limit: UInt64) throws {
        let floppy = Guest.has(Guest.floppy) ? ["--floppy", Guest.floppy, "--disposable"] : []
        let runs = try digests(limit, floppy)
        #expect(runs[0].instructions == limit)
        #expect(runs[1].instructions == limit)
        #expect(runs[0].state_digest == runs[1].state_digest)
        #expect(runs[0].state_digest == runs[2].state_digest, "interpreter and translator")
        #expect(runs[0].state_digest.count == 16)
    }

    @Test("Linux unpacking itself", .enabled(if: Guest.has(Guest.kernel, Guest.initrd)), arguments: [30_000_001, 170_000_003] as [UInt64])
    func linux(limit: UInt64) throws {
        let runs = try digests(limit, ["--kernel", Guest.kernel, "--initrd", Guest.initrd, "--append", "console=ttyS0", "--serial", "none"])
        #expect(runs[0].instructions == limit)
        #expect(runs[0].state_digest == runs[1].state_digest)
        #expect(runs[0].state_digest == runs[2].state_digest, "interpreter and translator")
    }

    @Test("four processors, past the point where Linux has started them", .enabled(if: Guest.has(Guest.kernel, Guest.initrd)))
    func processors() throws {
        let linux = ["--kernel", Guest.kernel, "--initrd", Guest.initrd, "--append", "console=ttyS0", "--serial", "none"]
        let runs = try digests(700_000_001, ["--cpus", "4"] + linux)
        #expect(runs[0].instructions == 700_000_001)
        #expect(runs[0].state_digest == runs[1].state_digest)
        #expect(runs[0].state_digest == runs[2].state_digest, "interpreter and translator")
    }

    @Test("another instruction more is another state") func sensitive() throws {
        #expect(try digests(2_000_000, [])[0].state_digest != digests(2_000_001, [])[0].state_digest)
    }
}
