import Hardware
import Testing

/// The bare-metal images: each check of an image is a line of its own, with what was expected and what was found.
///
/// To see an image elsewhere: `nasm -f bin -o x.bin x.asm` in `Tests/Fixtures/Metal`, then
/// `qemu-system-i386 -bios x.bin -debugcon stdio -device isa-debug-exit,iobase=0xf4`, or Bochs with `port_e9_hack: enabled=1` and
/// `romimage: file=x.bin, address=0xffff0000`. QEMU's translator checks neither limits nor segment types, so some checks fail there.
@Suite("metal", .enabled(if: MetalBench.assembler != nil, "nasm is not installed: apt-get install nasm"))
struct MetalTests {
    /// Image and number of its checks.
    static let images: [(name: String, checks: Int)] = [
        ("segments", 253), ("gates", 142), ("tasks", 131), ("v86", 89), ("sensitive", 98), ("paging", 153), ("restart", 255), ("debug", 84),
        ("code", 131), ("system", 82), ("real", 113), ("precise", 131), ("strings", 146),
    ]

    @Test("every check of the image holds, interpreted and translated", arguments: images.map(\.name), [false, true])
    func checks(_ name: String, translated: Bool) throws {
        let report = try MetalBench.run(try MetalBench.assemble(name), translated: translated)
        for complaint in report.complaints { Issue.record("\(name): \(complaint)") }
        let expected = MetalTests.images.first { $0.name == name }?.checks
        #expect(report.total == expected, "end marker of \(name); last line: \(report.lines.last ?? "none"); \(report.stop)")
        #expect(report.passed.count == expected, "passed checks of \(name)")
        #expect(Set(report.passed).count == report.passed.count, "two checks of \(name) have one name")
        #expect(report.stop == .debugExit(1), "\(name) ended with \(report.stop)")
    }

    @Test("the images hold at least 300 checks, and every image is run") func total() throws {
        #expect(MetalTests.images.map(\.checks).reduce(0, +) >= 300)
        #expect(Set(try MetalBench.sources()) == Set(MetalTests.images.map(\.name) + ["shutdown", "smp"]))
    }

    @Test("four processors start, lock, interrupt each other and see each other's writes; the same however the run is cut")
    func processors() throws {
        let image = try MetalBench.assemble("smp")
        var digests: Set<String> = []
        for slice: Int64 in [1_000_000, 777, 1_000_000] {
            let report = try MetalBench.run(image, cpus: 4, slice: slice, translated: digests.count == 1)
            for complaint in report.complaints { Issue.record("smp: \(complaint)") }
            #expect(report.total == 36 && report.passed.count == 36 && report.stop == .debugExit(1), "\(report.lines.last ?? "nothing"); \(report.stop)")
            digests.insert(report.digest)
        }
        #expect(digests.count == 1)
    }

    @Test("two runs of an image are identical", arguments: ["debug", "system"]) func repeatable(_ name: String) throws {
        let image = try MetalBench.assemble(name)
        let runs = try (0..<2).map { _ in try MetalBench.run(image) }
        #expect(runs[0].digest == runs[1].digest && !runs[0].digest.isEmpty)
    }
}
