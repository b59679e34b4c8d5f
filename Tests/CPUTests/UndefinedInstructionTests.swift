import Primitives
import Testing

@testable import CPU

/// What a processor says of instructions that it lacks, and of faults that are ours.
@Suite("faults that are not the guest's") struct UndefinedInstructionTests {
    private let rig = StopPointTests()

    private func run(_ code: [UInt8], _ mode: StopPointTests.Mode = .long, translates: Bool = false) throws -> (Processor, EngineExit) {
        let processor = try rig.processor(.init(mode: mode, translates: translates), code)
        return (processor, processor.run(budget: 1000))
    }

    @Test("what no model has, and what another model has", arguments: [false, true]) func lacked(translates: Bool) throws {
        // SHA1NEXTE; VADDPS of x86-64-v3 on a v2 processor.
        let cases: [([UInt8], String?)] = [([0x0F, 0x38, 0xC8, 0xC1], nil), ([0xC5, 0xF0, 0x58, 0xC2], "x86-64-v3")]
        for (bytes, model) in cases {
            let (processor, exit) = try run([0x90] + bytes, translates: translates)
            guard case .shutdown(let sentence) = exit else { throw Failure(what: "\(exit)") }
            #expect(sentence.contains("it began with #UD"))
            let met = processor.takeUndefined()
            #expect(met.count == 1 && met[0].offset == 0x1001 && met[0].selector == 8 && met[0].mode == .long)
            #expect(met[0].bytes.starts(with: bytes) && met[0].model?.name == model && !met[0].isModels)
            #expect(processor.fatalUndefined == met[0])
            #expect(processor.takeUndefined().isEmpty)
        }
    }

    struct Failure: Error { var what: String }

    @Test("what the decoder knows is not lacked, whatever its fault is") func known() throws {
        // UD2; SYSCALL while EFER.SCE is 0; a page fault.
        for bytes: [UInt8] in [[0x0F, 0x0B], [0x0F, 0x05], [0xA1, 0, 0, 0, 0x40, 0, 0, 0, 0]] {
            let (processor, _) = try run(bytes)
            #expect(processor.takeUndefined().isEmpty && processor.fatalUndefined == nil)
        }
    }

    @Test("one that is met without end is told of once", arguments: [false, true]) func storm(translates: Bool) throws {
        let processor = try rig.processor(.init(mode: .real, translates: translates), [0x0F, 0x38, 0xC8, 0xC1])
        processor.memory.store(6 * 4, 0x0000_2100 as UInt32)
        processor.memory.write(0x2100, [0xCF])
        #expect(processor.run(budget: 1000) == .budgetUsed)
        #expect(processor.takeUndefined().map(\.offset) == [0x1000])
        #expect(processor.run(budget: 1000) == .budgetUsed)
        #expect(processor.takeUndefined().isEmpty)
    }

    @Test("a decoded instruction that nothing carries out is one that is lacked") func unhandled() throws {
        let processor = try rig.processor(.init(mode: .real, translates: false), [0x90, 0x90, 0xEB, 0xFC])
        processor.memory.store(6 * 4, 0x0000_2000 as UInt32)
        // As if a row of the decoder's had no handler: NOP's operation gets the mnemonic of one that has a kind of its own.
        #expect(processor.run(budget: 12) == .budgetUsed)
        let block = try #require(processor.blocks.find(processor.core, storage: 0x1000, rip: 0x1000, mode: processor.core.t.pointee.mode))
        (block.mutableOps[0].kind, block.mutableOps[0].sub) = (.slowEnd, Mnemonic.emms.rawValue)
        processor.edit { $0.rip = 0x1000 }
        #expect(processor.run(budget: 10) == .halted)
        let met = processor.takeUndefined()
        #expect(met.count == 1 && met[0].isModels, "\(met)")
    }

    @Test("tables where no address can be are #GP, and a shutdown in the end") func nonCanonicalTable() throws {
        let processor = try rig.processor(.init(mode: .long, translates: false), [0x0F, 0x0B])
        processor.edit { $0.idtrBase = 0x0000_7FFF_FFFF_FFD0 }
        guard case .shutdown(let sentence) = processor.run(budget: 100) else { throw Failure(what: "no shutdown") }
        #expect(sentence.hasPrefix("triple fault: #GP while delivering #DF"), "\(sentence)")
    }

    @Test("an event that is none of the guest's is a fault of ours") func pseudoEvent() throws {
        let processor = try rig.processor(.init(mode: .long, translates: false), [0x90])
        guard case .failed(let what) = processor.core.handle(.repeatExactly) else { throw Failure(what: "delivered") }
        #expect(what == "the event 255, which is none of the guest's, was to be delivered")
    }

    @Test("what the engine keeps must fit the processor's state") func inconsistent() throws {
        let ways: [(String, (Core) -> Void)] = [
            ("width", { $0.t.pointee.addressMask = 0xFFFF }), ("decoded for another mode", { $0.t.pointee.mode ^= Mode.long }),
            ("translations of another", { $0.t.pointee.tlb = $0.t.pointee.userTLB }), ("counted wrongly", { $0.t.pointee.budget += 1 }),
            ("x87", { $0.t.pointee.x87Resident = true }), ("privilege level", { $0.v.pointee.cpl = 7 }),
        ]
        for mode in StopPointTests.Mode.allCases {
            for (words, spoil) in ways {
                let (processor, _) = try run([0x90, 0xEB, 0xFD], mode)
                #expect(processor.inconsistency == nil)
                spoil(processor.core)
                #expect(processor.inconsistency?.contains(words) == true, "\(words): \(processor.inconsistency ?? "nothing")")
                processor.reset()
                processor.forgetDecoded()
                #expect(processor.inconsistency == nil)
            }
        }
    }
}
