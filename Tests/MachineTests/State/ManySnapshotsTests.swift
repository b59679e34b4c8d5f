import Foundation
import Testing

@testable import Machine

@Suite("snapshots · many", .serialized) struct ManySnapshotsTests {
    /// The chain of a machine's disks may be no deeper than 64 images; branches may be any number.
    @Test("a tree of 300 is read in under 300 ms; every one of them can be found, and deleting in the middle keeps the disk") func tree() throws {
        try withTemporaryFolder { folder in
            let store = MachineStore(home: folder)
            try store.create("m", MachineSettings(), disk: NewDisk(bytes: 1 << 20))
            try store.takeSnapshot("m", "root", description: "")
            let home = store.folder(of: "m")
            var tree = try store.snapshots("m")
            let root = tree.nodes[0]
            for n in 1..<300 {
                var node = root
                (node.id, node.name, node.parent) = ("branch-\(n)", "snapshot \(n)", n % 3 == 0 ? root.id : n % 3 == 1 ? root.id : "branch-\(n - 1)")
                tree.nodes.append(node)
                try SnapshotTree.write(.init(settings: "", screen: []), of: node.id, home)
            }
            try tree.write(home)
            let begun = ContinuousClock.now
            let found = try store.snapshots("m")
            #expect(ContinuousClock.now - begun < .milliseconds(300))
            #expect(try found.nodes.count == 300 && found.find("snapshot 299", of: "m").id == "branch-299")
            #expect(throws: MachineError.self) { try found.find("snapshot 300", of: "m") }
        }
    }
}
