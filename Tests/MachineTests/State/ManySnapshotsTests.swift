import Foundation
import Hardware
import Testing

@testable import Machine

@Suite("snapshots · many", .serialized) struct ManySnapshotsTests {
    private func write(_ store: MachineStore, _ step: Int) throws {
        let medium = try DiskImage.open(path: try store.entry("m").runSettings().disks[0], access: .readWrite)
        for sector in [0, UInt64(step)] {
            let data = [UInt8](repeating: UInt8(truncatingIfNeeded: step &* 37 &+ 1), count: 512)
            #expect(data.withUnsafeBytes { medium.write(sector: sector, from: $0) })
        }
    }

    private func contents(_ store: MachineStore) throws -> [UInt8] {
        let medium = try DiskImage.open(path: try store.entry("m").runSettings().disks[0], access: .readOnly)
        var data = [UInt8](repeating: 0, count: 1 << 20)
        try #require(data.withUnsafeMutableBytes { medium.read(sector: 0, into: $0) })
        return data
    }

    /// The chain of a machine's disks may be no deeper than 64 images, branches may be any number: ten lines of 30 from one root.
    @Test("a tree of 300 is read in under 300 ms; every one of them can be found, and deleting in the middle keeps the disk") func tree() throws {
        try withTemporaryFolder { folder in
            let store = MachineStore(home: folder)
            try store.create("m", MachineSettings(), disk: NewDisk(bytes: 1 << 20))
            try store.takeSnapshot("m", "root", description: "")
            for n in 1..<300 {
                if n % 30 == 0 { try store.restoreSnapshot("m", "root", keepingAs: nil) }
                try write(store, n)
                try store.takeSnapshot("m", "snapshot \(n)", description: "")
            }
            let begun = ContinuousClock.now
            let found = try store.snapshots("m").visible
            #expect(ContinuousClock.now - begun < .milliseconds(300))
            #expect(found.nodes.count == 300)
            for n in 1..<300 { #expect(try found.find("snapshot \(n)", of: "m").parent != nil) }
            #expect(throws: MachineError.self) { try found.find("snapshot 300", of: "m") }
            // In the line of the present state, and in another one.
            let before = try contents(store)
            try store.deleteSnapshot("m", "snapshot 285") { _, _ in true }
            #expect(try contents(store) == before)
            try store.restoreSnapshot("m", "snapshot 149", keepingAs: "present")
            let other = try contents(store)
            #expect(other != before && other[149 * 512] == UInt8(truncatingIfNeeded: 149 * 37 + 1) && other[121 * 512] != 0)
            try store.deleteSnapshot("m", "snapshot 135") { _, _ in true }
            try store.restoreSnapshot("m", "snapshot 149", keepingAs: nil)
            #expect(try contents(store) == other)
            try store.restoreSnapshot("m", "present", keepingAs: nil)
            #expect(try contents(store) == before)
        }
    }
}
