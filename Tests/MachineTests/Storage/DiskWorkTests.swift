import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("storage · convert, compact, resize, check") struct DiskWorkTests {
    @Test("every format becomes every other one", arguments: NewImage.Format.allCases)
    func convert(to format: NewImage.Format) throws {
        try withTemporaryFolder { folder in
            var dice = Dice(2)
            for source in [ImageFormat.raw, .vdi, .qcow2, .vmdk, .vhd] {
                let inner = folder + "/" + source.rawValue
                try FileManager.default.createDirectory(atPath: inner, withIntermediateDirectories: true)
                let chain = try MergeRig(inner, source, &dice, bytes: 2 << 20)
                let target = inner + "/new"
                #expect(throws: DiskCopy.cancelled) { try DiskCopy.convert(chain.path(2), to: target, format: format) { done, _ in done == 0 } }
                #expect(FolderWork.names(inner).sorted() == ["0", "1", "2"])
                try DiskCopy.convert(chain.path(2), to: target, format: format)
                #expect(try ImageRig.contents(target) == chain.models[2])
                #expect(try DiskCopy.firstDifference(target, chain.path(2)).byte == nil)
                #expect(try DiskCopy.firstDifference(target, chain.path(1)).byte != nil)
                #expect(throws: MachineError.self) { try DiskCopy.convert(chain.path(2), to: target, format: format) }
                #expect(try DiskCheck.run(target).isSound)
                #expect(try ImageFacts(path: chain.path(2)).below.count == 2)
                var bytes: UInt64 = 0
                try DiskMapEntry.all(chain.path(2)) {
                    #expect($0.start == bytes)
                    bytes += $0.length
                    return true
                }
                #expect(bytes == 2 << 20)
            }
        }
    }

    @Test("compacting gives back what holds zeros, and what stands on the image stays right", arguments: ImageFormat.allCases)
    func compact(format: ImageFormat) throws {
        try withTemporaryFolder { folder in
            var dice = Dice(3)
            var chain = try MergeRig(folder, format, &dice)
            for number in [1, 0, 2] {
                if number == 2 {
                    let image = try DiskImage.open(path: chain.path(2), access: .readWrite)
                    let zeros = [UInt8](repeating: 0, count: 3 << 20)
                    #expect(zeros.withUnsafeBytes { image.write(sector: 0, from: $0) })
                    chain.models[2].replaceSubrange(0..<3 << 20, with: zeros)
                }
                _ = try? DiskCopy.compact(chain.path(number)) { _, _ in false }
                let (before, after) = try DiskCopy.compact(chain.path(number))
                #expect(after <= before + 64 << 10)
                for number in 0..<3 { #expect(try ImageRig.contents(chain.path(number)) == chain.models[number]) }
                #expect(try DiskCheck.run(chain.path(number)).isSound)
            }
            #expect(FolderWork.names(folder).sorted() == ["0", "1", "2"])
        }
    }

    @Test("larger and smaller, the rest stays", arguments: NewImage.Format.allCases)
    func resize(format: NewImage.Format) throws {
        guard format != .vmdkFlat, format != .vmdkSplit else { return }
        try withTemporaryFolder { folder in
            var rig = ImageRig(folder + "/disk", bytes: 4 << 20)
            try NewImage.make(rig.path, bytes: UInt64(rig.model.count), format: format)
            var dice = Dice(6)
            func write() throws {
                let image = try DiskImage.open(path: rig.path, access: .readWrite)
                #expect(image.sectorCount == rig.sectors)
                #expect(rig.scribble(image, &dice, rounds: 15) && image.flush())
            }
            try write()
            #expect(throws: MachineError.self) { try DiskResize.run(rig.path, bytes: 2 << 20, shrink: false) }
            try DiskResize.run(rig.path, bytes: 7 << 20 | 0x1000, shrink: false)
            rig.model += [UInt8](repeating: 0, count: 3 << 20 | 0x1000)
            #expect(try ImageRig.contents(rig.path) == rig.model)
            try write()
            #expect(try DiskCheck.run(rig.path).isSound)
            try DiskResize.run(rig.path, bytes: 3 << 20, shrink: true)
            rig.model.removeLast(rig.model.count - 3 << 20)
            #expect(try ImageRig.contents(rig.path) == rig.model)
            try write()
            #expect(try DiskCheck.run(rig.path).isSound)
            if format == .qcow2 {
                // Beyond what the first table has room for.
                try DiskResize.run(rig.path, bytes: 6 << 40, shrink: false)
                #expect(try DiskCheck.run(rig.path).isSound)
                #expect(try DiskImage.open(path: rig.path, access: .readWrite).sectorCount == 6 << 31)
                if Reference.tool != nil { #expect(try Reference.run("check", "-f", "qcow2", rig.path).status == 0) }
            }
            #expect(FolderWork.names(folder) == ["disk"])
        }
    }

    @Test(
        "an image that stands on another one: a qcow2 grows alone, the others say why they cannot, and stay",
        arguments: [ImageFormat.vdi, .qcow2, .vmdk, .vhd])
    func resizeOverlay(format: ImageFormat) throws {
        try withTemporaryFolder { folder in
            var dice = Dice(9)
            let chain = try MergeRig(folder, format, &dice, bytes: 2 << 20), before = try Data(contentsOf: URL(fileURLWithPath: chain.path(2)))
            guard format == .qcow2 else {
                #expect { try DiskResize.run(chain.path(2), bytes: 4 << 20, shrink: false) } throws: { error in
                    "\(error)".contains("stands on another image")
                }
                return #expect(try Data(contentsOf: URL(fileURLWithPath: chain.path(2))) == before)
            }
            try DiskResize.run(chain.path(2), bytes: 4 << 20, shrink: false)
            #expect(try ImageRig.contents(chain.path(2)) == chain.models[2] + [UInt8](repeating: 0, count: 2 << 20))
            #expect(try ImageRig.contents(chain.path(1)) == chain.models[1])
        }
    }

    @Test("a check finds what is wrong, and repairs what can be", arguments: [NewImage.Format.dynamic, .qcow2, .qcow2v2, .vmdk, .vhd])
    func repair(format: NewImage.Format) throws {
        try withTemporaryFolder { folder in
            var rig = ImageRig(folder + "/disk", bytes: 4 << 20)
            try NewImage.make(rig.path, bytes: UInt64(rig.model.count), format: format)
            var dice = Dice(8)
            _ = rig.scribble(try DiskImage.open(path: rig.path, access: .readWrite), &dice, rounds: 20)
            do {
                let file = try HostFile(path: rig.path, writable: true)
                switch format {
                case .dynamic: #expect(file.write(0x184, [0, 0, 0, 0]))
                case .qcow2, .qcow2v2: #expect(file.write(0x20006, [0, 0]))
                case .vmdk: #expect(file.write(22 * 512, [0xFF, 0xFF, 0, 0]))
                default: #expect(file.write(0, [UInt8](repeating: 0, count: 512)))
                }
            }
            let found = try DiskCheck.run(rig.path)
            #expect(!found.isSound && !found.errors.isEmpty, "\(found)")
            let repaired = try DiskCheck.run(rig.path, repair: true)
            #expect(repaired.repaired > 0)
            let after = try DiskCheck.run(rig.path)
            #expect(after.isSound, "\(after)")
            #expect(try ImageRig.contents(rig.path) == rig.model)
            if format.imageFormat == .qcow2, Reference.tool != nil {
                let check = try Reference.run("check", "-f", "qcow2", rig.path)
                #expect(check.status == 0, "\(check.output)")
            }
        }
    }
}
