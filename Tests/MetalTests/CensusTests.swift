import CPU
import Hardware
import Testing

/// The demo guest's own code in the place of the BIOS, so that nothing else runs: every number is known.
@Suite("census", .enabled(if: MetalBench.assembler != nil, "nasm is not installed: apt-get install nasm"))
struct CensusTests {
    /// Executed and faulted in ring 0, ring 3 and V86 mode.
    private static let expected: [(SensitiveInstruction, [(UInt64, UInt64)])] = [
        (.sgdt, [(1, 0), (1, 0), (1, 0)]),
        (.sidt, [(1, 0), (1, 0), (1, 0)]),
        (.sldt, [(1, 0), (1, 0), (0, 1)]),
        (.smsw, [(1, 0), (1, 0), (1, 0)]),
        (.pushf, [(1, 0), (1, 0), (0, 1)]),
        (.popf, [(1, 0), (1, 0), (0, 1)]),
        (.lar, [(1, 0), (1, 0), (0, 1)]),
        (.lsl, [(1, 0), (1, 0), (0, 1)]),
        // VERR and VERW
        (.verify, [(2, 0), (2, 0), (0, 1)]),
        (.pop, [(1, 0), (0, 1), (1, 0)]),
        (.push, [(1, 0), (1, 0), (1, 0)]),
        (.call, [(1, 0), (0, 1), (1, 0)]),
        // The way into protected mode is one
        (.jump, [(2, 0), (0, 1), (1, 0)]),
        (.interrupt, [(1, 0), (1, 0), (0, 1)]),
        // 17 IRETD into ring 3 and 17 into V86 mode
        (.return, [(35, 0), (0, 1), (1, 0)]),
        (.str, [(1, 0), (1, 0), (0, 1)]),
        // SS at the start
        (.move, [(2, 0), (1, 0), (1, 0)]),
    ]

    @Test("the counts of the demo guest are exact, interpreted and translated", arguments: [false, true])
    func exact(translated: Bool) throws {
        let census = try CensusTests.run(translated)
        for (what, counts) in CensusTests.expected {
            for (place, count) in zip([CensusPlace.ring0, .ring3, .v86], counts) {
                let cell = census[what, place]
                #expect(cell.executed == count.0 && cell.faulted == count.1, "\(what.name) in \(place.name): \(cell)")
            }
            for place in [CensusPlace.ring1, .ring2] { #expect(census[what, place] == CensusCell()) }
            let real = census[what, .real]
            // From the reset vector to the copy: two far jumps, DS and ES.
            let early: UInt64 = what == .jump || what == .move ? 2 : 0
            #expect(real.executed == early && real.faulted == 0, "\(what.name) in real mode")
        }
        #expect(CensusTests.expected.map(\.0) == SensitiveInstruction.allCases)
        #expect(census.emulated + census.direct == census.instructions)
        if !translated { #expect(census.direct == 0) }
    }

    @Test("both engines count alike and know the last places; the translator says how much it ran itself")
    func alike() throws {
        var (one, two) = (try CensusTests.run(false), try CensusTests.run(true))
        #expect(two.direct > 0 && two.direct < two.instructions)
        (one.direct, two.direct) = (0, 0)
        #expect(one == two)
        let cell = one[.move, .ring3]
        #expect(cell.selector == 0x1B && cell.linear == cell.offset && cell.offset > 0x7C00)
        #expect(one[.jump, .real].selector == 0 || one[.jump, .real].selector == 0xF000)
    }

    @Test("a debugger stops at each of them, whether it ran or faulted, and the counts stay what they are", arguments: [false, true])
    func stops(translated: Bool) throws {
        var stops = StopPoints()
        stops.sensitive = [.str, .popf]
        let image = try MetalBench.assemble("../Guests/sensitive", defines: ["METAL"])
        var census = Census()
        let report = try MetalBench.run(image, translated: translated, stops: stops) { census = $0.census }
        #expect(report.stop == .debugExit(1), "\(report.stop)")
        let met = report.hits.map { hit -> String in
            guard case .sensitive(let what, let place, let selector, _) = hit else { return "\(hit)" }
            return "\(what.word) \(place.name) \(selector)"
        }
        #expect(met == ["popf ring 0 8", "popf ring 3 27", "popf V86 0", "str ring 0 8", "str ring 3 27", "str V86 0"])
        let plain = try CensusTests.run(translated)
        #expect(SensitiveInstruction.allCases.allSatisfy { plain.executed($0) == census.executed($0) && plain.faulted($0) == census.faulted($0) })
    }

    private static func run(_ translated: Bool) throws -> Census {
        let image = try MetalBench.assemble("../Guests/sensitive", defines: ["METAL"])
        var census = Census()
        let report = try MetalBench.run(image, translated: translated) { census = $0.census }
        #expect(report.stop == .debugExit(1), "\(report.stop)")
        return census
    }
}
